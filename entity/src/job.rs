//! `job`: something that is to be done at an instant, once, whatever happens to the server that does it.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, JobId, Owned};

/// What is to be done. The names sort in the order in which jobs of one instant run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Kind {
    /// Carry out one action of a trigger.
    Act,
    /// Go on with long work over many customers.
    Bulk,
    /// Let a sandbox's clock go on; never due by itself: its lease says that it moves.
    Clock,
    /// Ask a provider what became of a payment, or tell it of a refund.
    Collect,
    /// Post what is due to a webhook endpoint. By the real clock, in sandboxes as well.
    Deliver,
    /// Look at what follows from one event that could not be looked at with others.
    Follow,
    /// Forget events that are kept no longer.
    Purge,
    /// Begin a subscription's next period, or act on one that was not paid.
    Renew,
    /// Look again at the wallets of a credit type whose thresholds were changed.
    Revisit,
    /// Write down what time has done in a wallet.
    Settle,
    /// Take an enrolment's next steps.
    Walk,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: JobId,
    pub kind: Kind,
    /// What it is about; one job per account, kind and key.
    pub key: String,
    /// Whether the worker does it. Jobs of sandboxes follow their test clock.
    pub live: bool,
    /// When it is due, by the account's clock.
    pub run_at: DateTime<Utc>,
    /// How often it was begun since it last succeeded.
    pub attempts: i32,
    /// After a failure: not before this, by the database's clock.
    pub not_before: Option<DateTime<Utc>>,
    /// The fencing token: goes up with each claim, and only its holder may say what became of the job.
    pub lease: i64,
    /// Until when its holder has it, by the database's clock.
    pub leased_until: Option<DateTime<Utc>>,
    /// Why it failed last.
    pub error: Option<String>,
    /// Since when it is not tried any more.
    pub dead_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
