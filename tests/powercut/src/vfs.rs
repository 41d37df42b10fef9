//! What SQLite calls. See <https://www.sqlite.org/vfs.html>.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;
use std::sync::Once;

use libsqlite3_sys::{
    SQLITE_FULL, SQLITE_OK, SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file,
    sqlite3_int64, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register,
};

use super::{Change, File, files};

/// What SQLite keeps of an open file: its head, the path if it is watched, and behind it the machine's own.
#[repr(C)]
struct Opened {
    head: sqlite3_file,
    path: *mut PathBuf,
}

/// Makes SQLite know it.
pub fn register() {
    static ONCE: Once = Once::new();
    // SAFETY: the machine's VFS is never unregistered; its copy lives as long as the program.
    ONCE.call_once(|| unsafe {
        let own = sqlite3_vfs_find(null());
        assert!(!own.is_null(), "SQLite has a VFS");
        let mut vfs = *own;
        vfs.zName = c"powercut".as_ptr();
        vfs.szOsFile += c_int::try_from(size_of::<Opened>()).expect("a small struct");
        vfs.pNext = std::ptr::null_mut();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        let registered = sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0);
        assert_eq!(registered, SQLITE_OK);
    });
}

/// The machine's own VFS.
fn machine() -> *mut sqlite3_vfs {
    // SAFETY: asks for the default, which is there.
    unsafe { sqlite3_vfs_find(null()) }
}

/// The machine's own file behind ours.
///
/// # Safety
/// `file` was opened here.
unsafe fn own(file: *mut sqlite3_file) -> *mut sqlite3_file {
    unsafe { file.cast::<Opened>().add(1).cast() }
}

/// The machine's own methods of a file.
///
/// # Safety
/// `file` was opened here.
unsafe fn methods(file: *mut sqlite3_file) -> &'static sqlite3_io_methods {
    unsafe { &*(*own(file)).pMethods }
}

/// The path of a file that is watched.
///
/// # Safety
/// `file` was opened here.
unsafe fn path(file: *mut sqlite3_file) -> Option<&'static Path> {
    unsafe { (*file.cast::<Opened>()).path.as_ref().map(PathBuf::as_path) }
}

/// # Safety
/// `name` is a C string.
unsafe fn named(name: *const c_char) -> PathBuf {
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    let path = Path::new(OsStr::from_bytes(bytes));
    // A file that is not there yet has no canonical path; its folder has.
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let machine = machine();
        let opened = file.cast::<Opened>();
        (*opened).head.pMethods = null();
        (*opened).path = std::ptr::null_mut();
        let watched = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL) != 0;
        let path = (!name.is_null() && watched).then(|| named(name));
        if let Some(path) = &path {
            let mut files = files();
            if !files.by_path.contains_key(path) {
                let held = std::fs::read(path).ok();
                let file = File { there: held.is_some(), durable: held.unwrap_or_default(), since: Vec::new() };
                files.by_path.insert(path.clone(), file);
            }
        }
        let code = ((*machine).xOpen.expect("it opens"))(machine, name, own(file), flags, out);
        if !(*own(file)).pMethods.is_null() {
            (*opened).head.pMethods = &raw const METHODS;
            (*opened).path = path.map_or(std::ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    unsafe {
        let machine = machine();
        files().by_path.remove(&named(name));
        ((*machine).xDelete.expect("it deletes"))(machine, name, sync)
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    unsafe {
        let code = (methods(file).xClose.expect("it closes"))(own(file));
        let path = (*file.cast::<Opened>()).path;
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
        code
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: sqlite3_int64) -> c_int {
    unsafe {
        let write = methods(file).xWrite.expect("it writes");
        let Some(path) = path(file) else { return write(own(file), from, count, at) };
        let mut files = files();
        if let Some(folder) = path.parent() {
            files.count(folder);
        }
        let (start, length) = (usize::try_from(at).expect("a place"), usize::try_from(count).expect("a length"));
        let mut size = 0;
        (methods(file).xFileSize.expect("it has a size"))(own(file), &raw mut size);
        let grows = (start + length).saturating_sub(usize::try_from(size).expect("a size")) as u64;
        if let Some(folder) = path.parent()
            && let Some(room) = files.room.get_mut(folder)
        {
            if grows > *room {
                return SQLITE_FULL;
            }
            *room -= grows;
        }
        let code = write(own(file), from, count, at);
        if code == SQLITE_OK {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), length).to_vec();
            if let Some(file) = files.by_path.get_mut(path) {
                file.since.push(Change::Write { at: start, bytes });
            }
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    unsafe {
        let mut files = files();
        let code = (methods(file).xTruncate.expect("it truncates"))(own(file), size);
        if code == SQLITE_OK
            && let Some(file) = path(file).and_then(|path| files.by_path.get_mut(path))
        {
            file.since.push(Change::Truncate { to: usize::try_from(size).expect("a size") });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        let Some(path) = path(file) else { return (methods(file).xSync.expect("it syncs"))(own(file), flags) };
        if let Some(file) = files().by_path.get_mut(path) {
            file.flush();
        }
        SQLITE_OK
    }
}

/// Passes calls through to the machine's own file.
macro_rules! through {
    ($($name:ident = $method:ident ( $($argument:ident : $kind:ty),* ) -> $answer:ty;)+) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $kind),*) -> $answer {
            unsafe { (methods(file).$method.expect("the machine has it"))(own(file), $($argument),*) }
        }
    )+};
}

through! {
    read = xRead(to: *mut c_void, count: c_int, at: sqlite3_int64) -> c_int;
    file_size = xFileSize(size: *mut sqlite3_int64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int;
    file_control = xFileControl(code: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_unmap = xShmUnmap(remove: c_int) -> c_int;
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    unsafe { (methods(file).xShmBarrier.expect("the machine has it"))(own(file)) }
}

/// Version 2: with shared memory, without memory maps, past which nothing could be seen.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
