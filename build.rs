//! Tells the tests what PostgreSQL there is, so that those that need one are reported as ignored where there is none.
//!
//! `cfg(postgres)`: a server to test on, by `TEST_POSTGRES_URL` or made with `initdb`. `cfg(initdb)`: clusters can be made.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(postgres, initdb)");
    println!("cargo::rerun-if-env-changed=TEST_POSTGRES_URL");
    println!("cargo::rerun-if-changed=build.rs");
    let initdb = initdb();
    // Looked for again when it is gone, or when something was installed where Debian has it.
    println!("cargo::rerun-if-changed={}", initdb.as_deref().unwrap_or(Path::new("/usr/lib")).display());
    if initdb.is_some() {
        println!("cargo::rustc-cfg=initdb");
    }
    if initdb.is_some() || std::env::var_os("TEST_POSTGRES_URL").is_some() {
        println!("cargo::rustc-cfg=postgres");
    }
}

/// The machine's `initdb`: on the path, or where Debian keeps one for each version.
fn initdb() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain(debian.map(|version| version.path().join("bin")))
        .map(|folder| folder.join("initdb"))
        .find(|program| program.is_file())
}
