//! Commands; the only place that puts the house together.

mod account;
mod backup;
mod credits_csv;
mod customer;
mod demo;
mod demo_shop;
mod dev;
mod doctor;
mod doors;
mod examples;
mod house;
mod import;
mod metrics;
mod migrate;
mod progress;
mod report;
mod restore;
mod serve;
mod token;
#[cfg(feature = "otlp")]
mod traces;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::Settings;

/// A ledger for prepaid service credits, served over GraphQL.
#[derive(Parser)]
#[command(name = "scrip", version, arg_required_else_help = true, after_help = USUAL)]
struct Cli {
    /// The settings file; ./scrip.toml if left out and there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const USUAL: &str = "The usual three:
  scrip dev              try it: a demo business in ./scrip-dev.db, no settings needed
  scrip token --staff    a token for the API
  scrip serve            production: see `To production` in the README";

#[derive(Subcommand)]
enum Command {
    /// Run a demo business on this machine: makes ./scrip-dev.db, seeds it, serves it.
    Dev(dev::Dev),
    /// Run the server in production.
    Serve(serve::Serve),
    /// Bring the database's tables up to date.
    Migrate(migrate::Migrate),
    /// Create and list accounts.
    #[command(subcommand)]
    Account(account::Account),
    /// Print a bearer token.
    Token(token::Token),
    /// Recompute the whole ledger from its activities and name what differs.
    Verify(verify::Verify),
    /// Read opening balances from a CSV file: a rehearsal, unless --apply is given.
    Import(import::Import),
    /// Write the free credits of an account as a CSV file that `import` reads.
    Export(import::Export),
    /// Write what is owed, earned and was never used as a CSV file.
    Report(report::Report),
    /// Look whether everything is as it must be: settings, database, clock, tables, and a sample of the ledger.
    Doctor(doctor::Doctor),
    /// Copy the SQLite database to a file, while the server runs.
    Backup(backup::Backup),
    /// Put a copy that `backup` made in the place of the database that the settings name.
    Restore(restore::Restore),
    /// Write all that is kept about one customer as JSON.
    #[command(subcommand)]
    Customer(customer::Customer),
    /// Print the GraphQL schema.
    Schema,
    /// Print the settings and where each came from, secrets masked.
    #[command(subcommand)]
    Config(Config),
}

#[derive(Subcommand)]
enum Config {
    /// Print the settings and where each came from, secrets masked.
    Print,
}

/// Runs what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("scrip: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode> {
    let file = cli.config.as_deref();
    let settings = |flags: &[(&'static str, Option<String>)]| Settings::read(file, flags);
    match cli.command {
        Command::Schema => say(crate::graphql::sdl().trim_end()),
        Command::Config(Config::Print) => say(house::with_development(settings(&[])?)?.to_string().trim_end()),
        Command::Dev(dev) => block_on(dev.run(settings(&dev.flags())?))?,
        Command::Serve(serve) => block_on(serve.run(settings(&serve.flags())?))?,
        Command::Migrate(migrate) => block_on(migrate.run(settings(&migrate.flags())?))?,
        Command::Account(account) => block_on(account.run(settings(&[])?))?,
        Command::Token(token) => block_on(token.run(settings(&[])?))?,
        Command::Import(import) => return block_on(import.run(settings(&[])?)),
        Command::Export(export) => block_on(export.run(settings(&[])?))?,
        Command::Report(report) => block_on(report.run(settings(&[])?))?,
        Command::Doctor(doctor) => return block_on(doctor.run(file)),
        Command::Backup(backup) => block_on(backup.run(settings(&[])?))?,
        Command::Restore(restore) => return block_on(restore.run(settings(&[])?)),
        Command::Customer(customer) => block_on(customer.run(settings(&[])?))?,
        Command::Verify(verify) => return block_on(verify.run(settings(&[])?)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line. Who closed the pipe has read enough.
fn say(text: impl std::fmt::Display) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // What is still under way then, nobody waits for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}
