//! A disk for SQLite that forgets what was not flushed, and that can be full: a VFS over the machine's own.
//!
//! Everything goes through to real files, so that SQLite runs as ever. Beside them stands what a disk would still have
//! after a power cut: what was flushed, and of the rest any part, in sectors of 512 bytes ([`Disk::arm`]). The flush
//! itself is not passed on to the machine: it is this disk that decides what lasts.
//!
//! `sqlite:FILE?vfs=powercut` opens a database on it, once [`Disk::at`] was called. Model: what a file holds is durable
//! once `xSync` returned; that it is there, once its first `xSync` returned; that it is gone, once `xDelete` returned.
//! See <https://www.sqlite.org/atomiccommit.html#_hardware_assumptions>.

mod vfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};

/// The name under which SQLite knows it.
pub const NAME: &str = "powercut";
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

static FILES: LazyLock<Mutex<Files>> = LazyLock::new(Mutex::default);

/// What is known of all files on it.
#[derive(Default)]
struct Files {
    by_path: BTreeMap<PathBuf, File>,
    /// Cuts that are to come, by folder.
    armed: BTreeMap<PathBuf, Armed>,
    /// Bytes by which the files of a folder may still grow, where that is limited.
    room: BTreeMap<PathBuf, u64>,
}

/// One file: what lasts, and what was done to it since.
#[derive(Default)]
struct File {
    /// Whether it would be there at all.
    there: bool,
    durable: Vec<u8>,
    since: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { to: usize },
}

impl File {
    fn flush(&mut self) {
        self.there = true;
        for change in self.since.drain(..) {
            change.apply(&mut self.durable, |_| true);
        }
    }
}

impl Change {
    /// Applies it to what a file holds; of what is written those sectors that `keep` names.
    fn apply(&self, to: &mut Vec<u8>, mut keep: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate { to: length } => to.truncate(*length),
            Self::Write { at, bytes } => {
                for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                    if keep(number) {
                        let at = at + number * SECTOR;
                        if to.len() < at + sector.len() {
                            to.resize(at + sector.len(), 0);
                        }
                        to[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
        }
    }
}

/// A cut that is to come.
struct Armed {
    /// After so many writes more.
    writes: usize,
    seed: u64,
    at_the_cut: Box<dyn FnOnce() + Send>,
    into: Arc<OnceLock<Image>>,
}

impl Files {
    /// Something under a folder is about to be written: if that is the moment, the power goes.
    fn count(&mut self, folder: &Path) {
        let Some(armed) = self.armed.get_mut(folder) else { return };
        armed.writes = armed.writes.saturating_sub(1);
        if armed.writes == 0
            && let Some(armed) = self.armed.remove(folder)
        {
            (armed.at_the_cut)();
            drop(armed.into.set(self.cut(folder, armed.seed)));
        }
    }

    /// What would be left of a folder if the power went now.
    fn cut(&self, folder: &Path, seed: u64) -> Image {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        // xorshift64*, Vigna 2016.
        let mut roll = move || {
            dice ^= dice >> 12;
            dice ^= dice << 25;
            dice ^= dice >> 27;
            dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
        };
        let mut image = Image { files: Vec::new(), unflushed: 0 };
        for (path, file) in self.by_path.iter().filter(|(path, _)| path.starts_with(folder)) {
            image.unflushed += file.since.len();
            if !file.there && roll() % 2 == 0 {
                continue;
            }
            let mut held = file.durable.clone();
            for change in &file.since {
                match (roll() % 3, change) {
                    (0, _) => {}
                    (1, Change::Write { .. }) => change.apply(&mut held, |_| roll() % 2 == 0),
                    _ => change.apply(&mut held, |_| true),
                }
            }
            let name = path.strip_prefix(folder).expect("it is under the folder").to_owned();
            image.files.push((name, held));
        }
        image
    }
}

fn files() -> MutexGuard<'static, Files> {
    FILES.lock().expect("nobody panics while holding it")
}

/// The disk under one folder.
pub struct Disk(PathBuf);

/// What a power cut left.
pub struct Image {
    /// Names of files, and what they hold.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// How many changes waited to be flushed.
    pub unflushed: usize,
}

impl Disk {
    /// The disk under a folder. Files that are there already are taken to last.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        vfs::register();
        Self(folder.canonicalize().expect("the folder is there"))
    }

    /// Cuts the power just before the so-manieth write from now on: what is left then is what was flushed, and of each
    /// later change nothing, all or some. `at_the_cut` is called at that moment; the disk itself goes on.
    #[must_use]
    pub fn arm(&self, writes: usize, seed: u64, at_the_cut: impl FnOnce() + Send + 'static) -> Arc<OnceLock<Image>> {
        let into = Arc::<OnceLock<Image>>::default();
        let armed = Armed { writes: writes.max(1), seed, at_the_cut: Box::new(at_the_cut), into: into.clone() };
        files().armed.insert(self.0.clone(), armed);
        into
    }

    /// Lets the files grow by so many bytes more and then be full; without limit if none.
    pub fn limit(&self, room: Option<u64>) {
        match room {
            Some(room) => drop(files().room.insert(self.0.clone(), room)),
            None => drop(files().room.remove(&self.0)),
        }
    }
}

impl Image {
    /// Puts the files into another folder, for who comes after the cut.
    pub fn restore(&self, folder: &Path) -> std::io::Result<()> {
        for (name, held) in &self.files {
            std::fs::write(folder.join(name), held)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut files = files();
        files.by_path.retain(|path, _| !path.starts_with(&self.0));
        files.room.remove(&self.0);
        files.armed.remove(&self.0);
    }
}
