//! `scrip restore`: puts a copy in the place of a database that is not there, once it has proved to be whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::house::{self, House};
use super::verify::verify_one;
use super::{backup, say};
use crate::config::Settings;
use crate::domain::ground::clock::SystemClock;
use crate::domain::storage::store::Missing;
use crate::domain::{Caller, Role, accounts};

#[derive(Args)]
pub struct Restore {
    /// The file that `scrip backup` made.
    file: PathBuf,
}

impl Restore {
    pub async fn run(self, mut settings: Settings) -> Result<ExitCode> {
        let unset = "database_url is not set. Say where the copy is to go: SCRIP_DATABASE_URL=sqlite:scrip.db, or in scrip.toml";
        let url = settings.get("database_url").context(unset)?.to_owned();
        let Some(path) = house::sqlite_file(&url) else {
            bail!("the database is PostgreSQL, which has its own tools: `pg_restore`");
        };
        if house::files(&path.display().to_string()).iter().any(|file| file.exists()) {
            bail!(
                "{0} is there already. Stop the server, and move {0}, {0}-wal and {0}-shm away first.",
                path.display()
            );
        }
        say(format_args!("Checking {} …", self.file.display()));
        backup::check(&self.file).await?;
        // It gets its name when it is whole, with its ledger verified.
        let unfinished = format!("{}.restoring", path.display());
        for file in house::files(&unfinished) {
            if file.exists() {
                std::fs::remove_file(&file).with_context(|| format!("{} is in the way", file.display()))?;
            }
        }
        // Whoever may read the copy, the database is its owner's alone.
        backup::make_private(Path::new(&unfinished))?;
        let copied = File::open(&self.file)
            .and_then(|mut copy| std::io::copy(&mut copy, &mut File::options().write(true).open(&unfinished)?));
        copied.with_context(|| format!("{unfinished} could not be written"))?;
        settings.develop("database_url", format!("sqlite:{unfinished}"));
        let store = house::store(&settings, Missing::Refuse, Arc::new(SystemClock)).await?;
        if let Err(error) = accounts::assert_ledger_key(&store).await {
            drop(store);
            remove(&unfinished);
            return Err(house::said(error));
        }
        let pending = store.migrate().await.map_err(house::said)?;
        let differences = store.differences().await.map_err(house::said)?;
        if !differences.is_empty() {
            for what in differences.iter().take(10) {
                say(format_args!("  {what}"));
            }
            say(format_args!(
                "The tables of the copy are not as Scrip makes them: it stays in {unfinished}. Try an older copy."
            ));
            return Ok(ExitCode::FAILURE);
        }
        let house = House::start(&settings, store)?;
        let mut found = 0;
        for account in accounts::all(&Caller::operator(house.app.clone(), "cli")).await.map_err(house::said)? {
            let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
            let report = verify_one(&staff, &account.slug).await?;
            for finding in report.findings.iter().take(10) {
                say(format_args!("  {}", finding.what));
            }
            found += report.findings.len();
        }
        house.app.close().await;
        if found > 0 {
            say(format_args!(
                "The ledger in the copy is not what was written: it stays in {unfinished}. Try an older copy."
            ));
            return Ok(ExitCode::FAILURE);
        }
        backup::finish(&PathBuf::from(&unfinished), &path)?;
        remove(&unfinished);
        if pending > 0 {
            say(format_args!("Ran {pending} migration(s)."));
        }
        say(format_args!("{} is restored and verified. Start the server: scrip serve", path.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Leaves no copy of customers' data lying about.
fn remove(unfinished: &str) {
    for left in house::files(unfinished) {
        // What is not there is what is wanted.
        drop(std::fs::remove_file(left));
    }
}
