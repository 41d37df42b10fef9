//! `scrip token`: prints a bearer token.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use super::account::meant;
use super::house::{self, House};
use super::say;
use crate::config::Settings;
use crate::domain::{Caller, Role, Scope, customers};

#[derive(Args)]
pub struct Token {
    #[command(flatten)]
    who: Who,
    /// The account's slug, where there are several.
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
    /// What stands in the token's sub, and in the activities as the actor.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// How many hours it is good for.
    #[arg(long, value_name = "HOURS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: u32,
}

/// Whom the token speaks for: exactly one.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// For someone who works in the business.
    #[arg(long)]
    staff: bool,
    /// For the owner, who may also change settings.
    #[arg(long)]
    owner: bool,
    /// For who runs the server and creates accounts.
    #[arg(long)]
    operator: bool,
    /// For the customer with this e-mail address.
    #[arg(long, value_name = "EMAIL")]
    customer: Option<String>,
}

impl Token {
    pub async fn run(self, settings: Settings) -> Result<()> {
        let house = House::open(&house::with_development(settings)?).await?;
        let lifetime = Duration::from_secs(u64::from(self.hours) * 3600);
        let (account, role, subject) = if self.who.operator {
            (None, Role::Operator, "operator".to_owned())
        } else {
            let account = meant(&house, self.account.as_deref()).await?;
            let (role, subject) = match &self.who.customer {
                None if self.who.owner => (Role::Owner, "owner".to_owned()),
                None => (Role::Staff, "staff".to_owned()),
                Some(email) => {
                    let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
                    let view = staff.view(Scope::StaffRead).await.map_err(house::said)?;
                    let Some(customer) = customers::by_email(&view, email).await.map_err(house::said)? else {
                        bail!("no customer of {} has the e-mail address {email}", account.name);
                    };
                    (Role::Customer(customer.id), customer.id.to_string())
                }
            };
            (Some(account.id), role, subject)
        };
        let subject = self.subject.unwrap_or(subject);
        say(house.tokens.make(account, role, &subject, lifetime).map_err(house::said)?);
        house.app.close().await;
        Ok(())
    }
}
