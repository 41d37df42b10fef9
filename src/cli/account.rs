//! `scrip account`: create and list accounts.

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use entity::account::Mode;

use super::house::{self, House};
use super::say;
use crate::config::Settings;
use crate::domain::accounts::{self, NewAccount};
use crate::domain::{Caller, Role};

/// How long the owner's first token is good for.
const FIRST_TOKEN: Duration = Duration::from_hours(24);

#[derive(Subcommand)]
pub enum Account {
    /// Create an account and print a token for its owner, good for one day.
    Create {
        /// The name that people read.
        #[arg(long)]
        name: String,
        /// Its name in public links: 3 to 40 of a-z, 0-9 and -.
        #[arg(long)]
        slug: String,
        /// An IANA time zone, such as Europe/Zurich.
        #[arg(long)]
        time_zone: String,
        /// An ISO 4217 currency, such as CHF.
        #[arg(long)]
        currency: String,
        /// For tests: its clock stands still.
        #[arg(long)]
        sandbox: bool,
    },
    /// List the accounts.
    List,
}

impl Account {
    pub async fn run(self, settings: Settings) -> Result<()> {
        let house = House::open(&house::with_development(settings)?).await?;
        let operator = Caller::operator(house.app.clone(), "cli");
        match self {
            Self::Create { name, slug, time_zone, currency, sandbox } => {
                let mode = if sandbox { Mode::Sandbox } else { Mode::Live };
                let new = NewAccount { name, slug, time_zone, currency, mode, clock_at: None };
                let account = accounts::create(&operator, new).await.map_err(house::said)?;
                let token =
                    house.tokens.make(Some(account.id), Role::Owner, "owner", FIRST_TOKEN).map_err(house::said)?;
                say(account.id);
                eprintln!("Created {}. A token for its owner, good for one day:", account.name);
                say(token);
            }
            Self::List => {
                for account in accounts::all(&operator).await.map_err(house::said)? {
                    say(format_args!("{}  {}  {}", account.id, account.slug, account.name));
                }
            }
        }
        house.app.close().await;
        Ok(())
    }
}

/// The account that a command means: the one with the slug, or the only one.
pub async fn meant(house: &House, slug: Option<&str>) -> Result<entity::account::Model> {
    let operator = Caller::operator(house.app.clone(), "cli");
    if let Some(slug) = slug {
        let found = accounts::by_slug(&operator, slug).await.map_err(house::said)?;
        return found.ok_or_else(|| anyhow::anyhow!("there is no account {slug}. `scrip account list` lists them."));
    }
    let mut all = accounts::all(&operator).await.map_err(house::said)?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => anyhow::bail!("there is no account. Make one with `scrip account create`."),
        (Some(_), false) => {
            anyhow::bail!("there are several accounts: say which with --account SLUG. `scrip account list` lists them.")
        }
    }
}
