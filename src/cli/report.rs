//! `scrip report`: what is owed, earned and was never used, as CSV files for bookkeeping.

use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::DateTime;
use clap::{Args, Subcommand, ValueEnum};

use super::account::meant;
use super::house::{self, House};
use super::say;
use crate::config::Settings;
use crate::domain::ground::clock::Instant;
use crate::domain::reports::csv::{self, report};
use crate::domain::reports::{Grouping, Stretch};
use crate::domain::{Caller, Role, Scope};

#[derive(Args)]
pub struct Report {
    #[command(subcommand)]
    which: Which,
    /// The account's slug; may be left out where there is only one account.
    #[arg(long, global = true, value_name = "SLUG")]
    account: Option<String>,
    /// Where to write it; to standard output if left out.
    #[arg(long, global = true, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Which {
    /// What is owed, earned and was never used, as of an instant.
    Liability {
        /// The instant, such as 2026-03-31T22:00:00Z; now, if left out.
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        as_of: Option<Instant>,
    },
    /// What ended unused in a stretch of time.
    Breakage(Between),
    /// What was used in a stretch of time.
    Consumption {
        #[command(flatten)]
        between: Between,
        /// By what it is said.
        #[arg(long, value_enum, default_value_t = By::CreditType)]
        by: By,
    },
}

#[derive(Args, Clone, Copy)]
struct Between {
    /// From this instant on, such as 2026-01-01T00:00:00Z.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Instant,
    /// Before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Instant,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    CreditType,
    Customer,
    Day,
    Month,
}

fn instant(text: &str) -> Result<Instant, String> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    at.map_err(|_| "write an instant with its offset, such as 2026-03-31T16:30:00Z".to_owned())
}

impl Between {
    fn stretch(self) -> Stretch {
        Stretch { from: self.from, to: self.to }
    }
}

impl Report {
    pub async fn run(self, settings: Settings) -> Result<()> {
        let house = House::open(&house::with_development(settings)?).await?;
        let account = meant(&house, self.account.as_deref()).await?;
        let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
        let wanted = match self.which {
            Which::Liability { as_of } => csv::Report::Liability { as_of },
            Which::Breakage(between) => csv::Report::Breakage(between.stretch()),
            Which::Consumption { between, by } => {
                let by = match by {
                    By::CreditType => Grouping::CreditType,
                    By::Customer => Grouping::Customer,
                    By::Day => Grouping::Day,
                    By::Month => Grouping::Month,
                };
                csv::Report::Consumption(between.stretch(), by)
            }
        };
        let text = {
            let view = staff.view(Scope::StaffRead).await.map_err(house::said)?;
            report(&view, wanted).await.map_err(house::said)?
        };
        house.app.close().await;
        match self.out {
            None => say(text.trim_end()),
            Some(file) => {
                std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
                say(format_args!("Written to {}.", file.display()));
            }
        }
        Ok(())
    }
}
