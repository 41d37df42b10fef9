//! `scrip verify`: recomputes the ledger and names what differs. Exits with 1 if anything does.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::account::meant;
use super::house::{self, House};
use super::say;
use crate::config::Settings;
use crate::domain::ledger::verify;
use crate::domain::{Caller, Role, accounts};

/// Findings that are printed one by one.
const SHOWN: usize = 100;

#[derive(Args)]
pub struct Verify {
    /// Only the account with this slug.
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
}

impl Verify {
    pub async fn run(self, settings: Settings) -> Result<ExitCode> {
        let house = House::open(&house::with_development(settings)?).await?;
        let operator = Caller::operator(house.app.clone(), "cli");
        let accounts = match &self.account {
            Some(slug) => vec![meant(&house, Some(slug)).await?],
            None => accounts::all(&operator).await.map_err(house::said)?,
        };
        let mut clean = true;
        for account in accounts {
            let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
            let report = verify::verify(&staff).await.map_err(house::said)?;
            say(format_args!("{}: {} wallets, {} activities", account.slug, report.wallets, report.activities));
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
