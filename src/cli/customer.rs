//! `scrip customer`: all that is kept about one customer, as JSON.

use anyhow::{Result, bail};
use clap::Subcommand;

use super::account::meant;
use super::house::{self, House};
use super::say;
use crate::config::Settings;
use crate::domain::customers::{self, export};
use crate::domain::identity::access::Noted;
use crate::domain::{Caller, Role, Scope};

#[derive(Subcommand)]
pub enum Customer {
    /// Write all that is kept about one customer as JSON.
    Export {
        /// The customer's e-mail address, or its id (`cus_…`).
        customer: String,
        /// The account's slug, where there are several.
        #[arg(long, value_name = "SLUG")]
        account: Option<String>,
    },
}

impl Customer {
    pub async fn run(self, settings: Settings) -> Result<()> {
        let Self::Export { customer, account } = self;
        let house = House::open(&house::with_development(settings)?).await?;
        let account = meant(&house, account.as_deref()).await?;
        let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
        let view = staff.view(Scope::StaffRead).await.map_err(house::said)?;
        let id = match customer.parse() {
            Ok(id) => Some(id),
            Err(_) => customers::by_email(&view, &customer).await.map_err(house::said)?.map(|found| found.id),
        };
        let found = match id {
            Some(id) => export::export(&view, id).await.map_err(house::said)?,
            None => None,
        };
        let Some(found) = found else { bail!("no customer of {} is {}", account.name, customer) };
        let about = id.map(|id| id.to_string());
        let noted = Noted { operation: export::OPERATION, about: about.as_deref(), outcome: "done", request_id: "cli" };
        staff.note(&noted);
        say(serde_json::to_string_pretty(&found)?);
        drop(view);
        house.app.close().await;
        Ok(())
    }
}
