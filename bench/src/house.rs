//! What is measured stands on: a database of its own, a server in this process, and accounts full of wallets.

use std::sync::Arc;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use entity::account::Mode;
use entity::{AccountId, CreditTypeId, Credits, CustomerId, Expiration, customer};
use futures_util::future::try_join_all;
use scrip::domain::LedgerKey;
use scrip::domain::accounts::{self, NewAccount};
use scrip::domain::catalog::credit_types::{self, NewCreditType};
use scrip::domain::credits;
use scrip::domain::ground::clock::{Clock, SystemClock, fresh_id};
use scrip::domain::ledger::{Issue, Words};
use scrip::domain::storage::store::{Missing, Store};
use scrip::domain::{App, Caller, Role};
use scrip::gateway::{Poster, SystemNames};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, EntityTrait, IntoActiveModel};
use secrecy::SecretString;

use crate::postgres;

/// Signs the ledger that is measured.
pub const LEDGER_KEY: &str = "a ledger key for measuring, 32 bytes";
/// Signs tokens of the server that is measured.
pub const SIGNING_SECRET: &str = "a signing secret to measure, 32 bytes";
/// Credits of each wallet: more than any run uses.
const PLENTY: i64 = 1_000_000_000;
/// Rows of one statement, and credits that are issued at once.
const ROWS: usize = 500;

/// Which database is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A throw-away cluster, or what `TEST_POSTGRES_URL` names.
    Postgres,
}

/// Where a database is that lasts as long as this.
pub struct Place {
    pub url: String,
    pub backend: Backend,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    /// A new, empty database.
    pub async fn new(backend: Backend) -> Result<Self> {
        let (url, folder) = match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir()?;
                (format!("sqlite:{}", folder.path().join("scrip.db").display()), Some(folder))
            }
            Backend::Postgres => (postgres::database().await, None),
        };
        Ok(Self { url, backend, _folder: folder })
    }

    /// Lets PostgreSQL look at what is in its tables, as it does by itself within a minute: until then it plans as if
    /// they were empty. SQLite's statistics are fixed.
    pub async fn analyze(&self) -> Result<()> {
        if self.backend == Backend::Postgres {
            let connection = self.connect().await?;
            connection.execute_unprepared("ANALYZE").await?;
            connection.close().await?;
        }
        Ok(())
    }

    /// Does now what the database would do in the background after so many writes: looks through its tables, and writes
    /// what it changed to where it belongs.
    pub async fn tidy(&self) -> Result<()> {
        let connection = self.connect().await?;
        let work: &[&str] = match self.backend {
            Backend::Postgres => &["VACUUM (ANALYZE)", "CHECKPOINT"],
            Backend::Sqlite => &["PRAGMA wal_checkpoint(TRUNCATE)"],
        };
        for statement in work {
            connection.execute_unprepared(statement).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// A connection of our own, beside the server's.
    pub async fn connect(&self) -> Result<DatabaseConnection> {
        let url = if self.backend == Backend::Sqlite { format!("{}?mode=rwc", self.url) } else { self.url.clone() };
        Ok(Database::connect(url).await?)
    }
}

/// How many of what there is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Size {
    /// Customers, over all accounts.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub customers: usize,
    /// Accounts that share them.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub accounts: usize,
}

/// One wallet: whose it is, and who may use it.
#[derive(Clone)]
pub struct Purse {
    pub account: AccountId,
    pub caller: Caller,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
}

/// A server in this process, with a wallet of each customer.
pub struct House {
    pub place: Place,
    pub app: App,
    pub purses: Vec<Purse>,
}

impl House {
    /// One on a database of its own.
    pub async fn new(backend: Backend, size: Size) -> Result<Self> {
        if size.accounts == 0 || size.customers < size.accounts {
            bail!("each account needs a customer: --customers {} --accounts {}", size.customers, size.accounts);
        }
        let place = Place::new(backend).await?;
        let app = open(&place.url).await?;
        let mut purses = Vec::with_capacity(size.customers);
        for n in 0..size.accounts {
            let count = size.customers / size.accounts + usize::from(n < size.customers % size.accounts);
            purses.extend(furnish(&app, &place, n, count).await?);
        }
        for purses in purses.chunks(ROWS) {
            try_join_all(purses.iter().map(|purse| fill(purse, PLENTY))).await?;
        }
        place.analyze().await?;
        Ok(Self { place, app, purses })
    }
}

/// A server on a database, its tables made.
pub async fn open(url: &str) -> Result<App> {
    let key = LedgerKey::new(SecretString::from(LEDGER_KEY));
    let store = Store::connect(url, Missing::Create, Arc::new(SystemClock), key).await?;
    store.migrate().await?;
    let poster = Poster::new(Arc::new(SystemNames), true).map_err(anyhow::Error::msg)?;
    Ok(App::start(store, scrip::gateway::providers(), Arc::new(poster)))
}

/// An account with customers who have no credits yet.
pub async fn furnish(app: &App, place: &Place, number: usize, count: usize) -> Result<Vec<Purse>> {
    let new = NewAccount {
        name: format!("Studio {number}"),
        slug: format!("studio-{number}"),
        time_zone: "UTC".to_owned(),
        currency: "CHF".to_owned(),
        mode: Mode::Live,
        clock_at: None,
    };
    let account = accounts::create(&Caller::operator(app.clone(), "bench"), new).await?.id;
    let caller = Caller::of(app.clone(), account, Role::Staff, "bench");
    let new = NewCreditType {
        name: "Session".to_owned(),
        description: None,
        expiration: Some(Expiration::Never),
        low_balance_at: None,
        expiry_notice_days: Vec::new(),
    };
    let credit_type = credit_types::create(&caller, new).await?.id;
    let now = SystemClock.now();
    let rows = (0..count).map(|n| a_customer(account, n, now)).collect::<Vec<_>>();
    let connection = place.connect().await?;
    for rows in rows.chunks(ROWS) {
        let rows = rows.iter().map(|row| row.clone().into_active_model());
        customer::Entity::insert_many(rows).exec_without_returning(&connection).await?;
    }
    connection.close().await?;
    Ok(rows.iter().map(|row| Purse { account, caller: caller.clone(), customer: row.id, credit_type }).collect())
}

fn a_customer(account: AccountId, number: usize, now: DateTime<Utc>) -> customer::Model {
    customer::Model {
        account_id: account,
        id: CustomerId(fresh_id()),
        name: format!("Customer {number}"),
        email: Some(format!("customer-{number}@example.com")),
        external_id: None,
        locale: None,
        metadata: serde_json::json!({}),
        archived_at: None,
        erased_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// Issues credits to a wallet.
pub async fn fill(purse: &Purse, amount: i64) -> Result<()> {
    let issue = an_issue(purse, amount);
    credits::issue(&purse.caller, issue, &format!("fill-{}", fresh_id().simple())).await?;
    Ok(())
}

/// A grant that never ends.
pub fn an_issue(purse: &Purse, amount: i64) -> Issue {
    Issue {
        customer: purse.customer,
        credit_type: purse.credit_type,
        amount: Credits(amount),
        effective_at: None,
        expiration: None,
        priority: None,
        cost: None,
        metadata: None,
        period: None,
        cap: None,
        words: Words::default(),
    }
}
