//! Measures Scrip: `cargo run --release -p scrip-bench -- ledger --raw`. What the figures mean is in docs/performance.md.

mod beside;
mod bulk;
mod client;
mod fresh;
mod grow;
mod growth;
mod house;
mod http;
mod ledger;
mod load;
#[allow(dead_code, reason = "the tests' own throw-away PostgreSQL, of which this uses a part")]
#[path = "../../tests/harness/postgres.rs"]
mod postgres;
mod procedure;
mod profile;
mod raw;
mod starve;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The same as the server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Scrip, and what it could be at most.
#[derive(Parser)]
#[command(name = "scrip-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load the ledger in this process.
    Ledger(ledger::Ledger),
    /// Load a server over HTTP.
    Http(http::Http),
    /// Load the ledger, and a stored procedure by `pgbench`, on PostgreSQL.
    Procedure(procedure::Procedure),
    /// Ask the same of ever larger ledgers.
    Growth(growth::Growth),
    /// Read customers from Scrip and from `PostGraphile`.
    Beside(beside::Beside),
    /// Let one caller ask for as much as it can, and see what others wait for.
    Starve(starve::Starve),
    /// Use a database that is really new.
    Fresh(fresh::Fresh),
    /// Use a wallet with many open grants.
    Grants(growth::Grants),
}

fn main() -> ExitCode {
    if std::env::var_os(http::SERVES).is_some() {
        return scrip::cli::run();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scrip-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match Cli::parse().command {
            Command::Ledger(ledger) => ledger.run().await,
            Command::Http(http) => http.run().await,
            Command::Procedure(procedure) => procedure.run().await,
            Command::Growth(growth) => growth.run().await,
            Command::Beside(beside) => beside.run().await,
            Command::Starve(starve) => starve.run().await,
            Command::Fresh(fresh) => fresh.run().await,
            Command::Grants(grants) => grants.run().await,
        }
    })
}
