//! `scrip verify`: recomputes the ledger and names what differs. Exits with 1 if anything does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::account::meant;
use super::house::{self, House};
use super::progress::bar;
use super::say;
use crate::config::Settings;
use crate::domain::credits::anchor::{self, Heads};
use crate::domain::credits::verify::{self, Report};
use crate::domain::{Caller, Role, accounts};

/// Findings that are printed one by one.
const SHOWN: usize = 100;

#[derive(Args)]
pub struct Verify {
    /// Only the account with this slug.
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
    /// Check the ledger against the heads in this file, then write the new ones.
    /// Keep it away from the database: it finds what the database alone cannot show, an end that was cut off.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// Make the file of `--anchor`, which is not there yet.
    #[arg(long, requires = "anchor")]
    new: bool,
}

impl Verify {
    pub async fn run(self, settings: Settings) -> Result<ExitCode> {
        let house = House::open(&house::with_development(settings)?).await?;
        let operator = Caller::operator(house.app.clone(), "cli");
        let accounts = match &self.account {
            Some(slug) => vec![meant(&house, Some(slug)).await?],
            None => accounts::all(&operator).await.map_err(house::said)?,
        };
        let mut anchored = match &self.anchor {
            Some(file) if self.new => {
                ensure!(!file.exists(), "{} is there already: leave --new out to check against it.", file.display());
                Heads::new()
            }
            Some(file) => {
                // One that is gone would let an end that was cut off pass for whole.
                ensure!(
                    file.exists(),
                    "{} is not there, so nothing can be checked against it. Find it; or make it anew with --new.",
                    file.display()
                );
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
                anchor::read(&house.app, &text).map_err(house::said)?
            }
            None => Heads::new(),
        };
        let mut clean = true;
        if self.account.is_none() {
            for (gone, _) in anchored.iter().filter(|(id, _)| accounts.iter().all(|account| account.id != *id)) {
                say(format_args!("account {gone} was anchored, and is gone"));
                clean = false;
            }
        }
        for account in accounts {
            let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
            let mut report = verify_one(&staff, &account.slug).await?;
            if self.anchor.is_some() {
                let before = anchored.iter().position(|(id, _)| *id == account.id).map(|at| anchored.remove(at).1);
                let before = before.unwrap_or_default();
                report.findings.extend(anchor::check(&staff, &before).await.map_err(house::said)?);
                say(format_args!("  {} anchored heads checked", before.len()));
                anchored.push((account.id, anchor::heads(&staff).await.map_err(house::said)?));
            }
            for finding in report.findings.iter().take(SHOWN) {
                match finding.wallet {
                    Some((customer, credit_type)) => say(format_args!("  {customer} {credit_type}: {}", finding.what)),
                    None => say(format_args!("  {}", finding.what)),
                }
            }
            if report.findings.len() > SHOWN {
                say(format_args!("  … and {} more", report.findings.len() - SHOWN));
            }
            clean &= report.findings.is_empty();
        }
        if let Some(file) = self.anchor.filter(|_| clean) {
            // Whole or not at all: a half-written anchor would be of no use to anybody.
            let unfinished = PathBuf::from(format!("{}.new", file.display()));
            std::fs::write(&unfinished, anchor::write(&house.app, &anchored))
                .with_context(|| format!("{} cannot be written", unfinished.display()))?;
            std::fs::rename(&unfinished, &file).with_context(|| format!("{} could not be written", file.display()))?;
            say(format_args!("The heads are in {}. Keep it away from the database.", file.display()));
        }
        house.app.close().await;
        if clean {
            say(format_args!("Verified: every grant, balance and chain is what the activities say."));
            Ok(ExitCode::SUCCESS)
        } else {
            say(format_args!(
                "The ledger is not what was written. Keep a copy of the database before you do anything else."
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Verifies one account, and says how much that was.
pub(super) async fn verify_one(staff: &Caller, slug: &str) -> Result<Report> {
    let bar = bar(format!("Verifying {slug}"), 0, "activities");
    let tell = |more, of| {
        if bar.length() != Some(of) {
            bar.set_length(of);
        }
        bar.inc(more);
    };
    let report = verify::verify(staff, tell).await.map_err(house::said)?;
    bar.finish_and_clear();
    say(format_args!("{slug}: {} wallets, {} activities", report.wallets, report.activities));
    Ok(report)
}
