//! `scrip backup`: a whole copy of the SQLite database, as it is at one instant, while the server runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::{house, say};
use crate::config::Settings;

#[derive(Args)]
pub struct Backup {
    /// The file to write; it must not be there yet.
    file: PathBuf,
}

impl Backup {
    pub async fn run(self, settings: Settings) -> Result<()> {
        let settings = house::with_development(settings)?;
        let url = settings.get("database_url").context("database_url is not set: what is to be copied?")?;
        let Some(path) = house::sqlite_file(url) else {
            bail!(
                "the database is PostgreSQL, which has its own tools: `pg_dump --format=custom`, or a base backup with \
                 WAL archiving, as docs/production.md says"
            );
        };
        if !path.exists() {
            bail!("there is no database at {}", path.display());
        }
        if self.file.exists() {
            bail!("{} is there already: name another file, such as one with the date", self.file.display());
        }
        // It gets its name when it is whole and on the disk.
        let unfinished = PathBuf::from(format!("{}.part", self.file.display()));
        if unfinished.exists() {
            std::fs::remove_file(&unfinished).with_context(|| format!("{} is in the way", unfinished.display()))?;
        }
        say(format_args!("Copying {} …", path.display()));
        make_private(&unfinished)?;
        let copied = copy(url, &unfinished).await;
        if copied.is_err() {
            drop(std::fs::remove_file(&unfinished));
        }
        copied?;
        check(&unfinished).await?;
        finish(&unfinished, &self.file)?;
        let size = self.file.metadata()?.len();
        say(format_args!(
            "{} holds the whole database: {} KiB, checked.\nThe secrets are not in it: keep SCRIP_LEDGER_KEY, without which nobody can verify or go on with this ledger.\nTo restore it: scrip restore {}",
            self.file.display(),
            size / 1024,
            self.file.display()
        ));
        Ok(())
    }
}

/// Makes an empty file that only its owner reads: customers are in it.
pub fn make_private(file: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).with_context(|| format!("{} cannot be made", file.display()))?;
    Ok(())
}

/// Copies what one snapshot holds; who writes meanwhile is not held up.
async fn copy(url: &str, to: &Path) -> Result<()> {
    let options = SqliteConnectOptions::from_str(url)?.create_if_missing(false).disable_statement_logging();
    let mut connection = options.connect().await.context("the database cannot be opened")?;
    let to = to.to_str().context("the file's name must be text")?;
    sqlx::query("VACUUM INTO ?").bind(to).execute(&mut connection).await.context("the copy could not be written")?;
    connection.close().await?;
    Ok(())
}

/// Makes sure that a file is a whole database.
pub async fn check(file: &Path) -> Result<()> {
    let shown = file.display();
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    let mut connection: SqliteConnection =
        options.connect().await.with_context(|| format!("{shown} cannot be opened as a database"))?;
    let found: Result<Vec<String>, _> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await;
    let found = found.with_context(|| format!("{shown} is not a SQLite database"))?;
    connection.close().await?;
    if found != ["ok"] {
        bail!("{shown} is damaged: {}", found.into_iter().take(3).collect::<Vec<_>>().join("; "));
    }
    Ok(())
}

/// Gives a file its name once it is on the disk.
pub fn finish(unfinished: &Path, file: &Path) -> Result<()> {
    let shown = file.display();
    File::open(unfinished)?.sync_all().with_context(|| format!("{shown} could not be brought to the disk"))?;
    std::fs::rename(unfinished, file).with_context(|| format!("{shown} could not get its name"))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all().with_context(|| format!("{shown} could not be brought to the disk"))?;
    Ok(())
}
