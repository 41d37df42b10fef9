//! The ledger beside a stored procedure that `pgbench` calls: the same tables, rows and keys, one consume in each commit.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use sqlx::AssertSqlSafe;
use tokio::process::Command;

use crate::house::{Backend, House, Size};
use crate::ledger::{self, Load};
use crate::load::{Figures, Mix, median};
use crate::postgres;

const SETUP: &str = include_str!("../pgbench/setup.sql");

#[derive(Args)]
pub struct Procedure {
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    customers: usize,
    /// Everything goes to one wallet.
    #[arg(long)]
    hot: bool,
    /// Callers of the ledger.
    #[arg(long, default_value_t = 256, value_name = "N")]
    callers: usize,
    /// Clients of the procedure.
    #[arg(long, default_value_t = 32, value_name = "N")]
    clients: usize,
    /// How long each run lasts, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// How often the runs are repeated, in turns.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
}

impl Procedure {
    pub async fn run(&self) -> Result<()> {
        let size = Size { customers: self.customers, accounts: 1 };
        println!("Postgres: {} customers, {}", self.customers, if self.hot { "one hot wallet" } else { "spread" });
        let (house, other) = (House::new(Backend::Postgres, size).await?, House::new(Backend::Postgres, size).await?);
        other.app.close().await;
        let pool = sqlx::PgPool::connect(&other.place.url).await?;
        sqlx::raw_sql(AssertSqlSafe(SETUP)).execute(&pool).await?;
        pool.close().await;
        let script = tempfile::NamedTempFile::new()?;
        std::fs::write(script.path(), include_str!("../pgbench/consume.sql"))?;
        let mix = "consume=1".parse::<Mix>()?;
        let lasts = Duration::from_secs(self.seconds);
        let (mut runs, mut tps, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let hot = if self.hot { 1.0 } else { 0.0 };
            let load = Load { mix: &mix, callers: self.callers, hot };
            let run = ledger::load(&house, &load, lasts, round).await?;
            let theirs = self.pgbench(&other.place.url, script.path()).await?;
            shares.push(run.rate() / theirs);
            runs.push(run);
            tps.push(theirs);
        }
        println!("the ledger, {} callers: {}", self.callers, Figures::together(runs).said());
        println!("the procedure, {} clients: {:.0} a second", self.clients, median(tps));
        println!("ratio: {:.1}", median(shares));
        house.app.close().await;
        Ok(())
    }

    async fn pgbench(&self, url: &str, script: &Path) -> Result<f64> {
        let beside = postgres::programs().map(|folder| folder.join("pgbench")).filter(|program| program.is_file());
        let program = beside.unwrap_or_else(|| "pgbench".into());
        let wallets = if self.hot { 1 } else { self.customers };
        let ended = Command::new(program)
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &self.clients.to_string(), "-T", &self.seconds.to_string()])
            .args(["-D", &format!("wallets={wallets}"), "-f", &script.display().to_string(), url])
            .output()
            .await
            .context("pgbench does not start: it comes with PostgreSQL")?;
        let said = String::from_utf8_lossy(&ended.stdout);
        if !ended.status.success() {
            bail!("pgbench failed: {}", String::from_utf8_lossy(&ended.stderr));
        }
        let line = said.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench says its rate")?;
        Ok(line.split(' ').next().unwrap_or_default().parse()?)
    }
}
