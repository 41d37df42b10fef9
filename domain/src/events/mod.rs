//! Events: what happened, for whoever follows. Each is written in the transaction of its fact; everything later follows
//! from it and from nothing else.
//!
//! * [`Tx::emit`]: write one beside its fact. The ledger writes its own: [`of_activity`], [`of_notice`].
//! * [`track`]: one of the business's own.
//! * [`follow`]: what follows from it: runs of triggers, deliveries to webhooks.
//! * [`purge`]: forget those that are kept no longer.
//! * [`catalogue`]: the names and payloads of the server's own.
//!
//! An event that somebody follows is written as *pending*, and leaves that state in the transaction that writes down what
//! follows. The account knows which names are followed (`followed`), so that what nobody follows costs one row and no
//! more.

pub mod catalogue;
pub(crate) mod follow;
pub mod followed;
pub(crate) mod purge;
pub mod track;

pub use follow::next_account;

use std::collections::HashMap;

use entity::activity::{self, Kind};
use entity::event::{Column, Entity, Model};
use entity::{CustomerId, EventId, account};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::App;
use super::cause::Cause;
use super::clock::fresh_id;
use super::error::{Error, Result};
use super::ledger::state::WalletKey;
use super::ledger::watch::{Notice, Noticed};
use super::page::{Page, Slice};
use super::tx::{Tx, View};
use followed::is_followed;

/// Looks at events that wait in a live account, and writes down what follows; answers how many that were.
pub async fn follow(app: &App, account: entity::AccountId) -> Result<usize> {
    follow::live(app, account).await
}

/// How many triggers and automations may lead to one another.
pub const DEEPEST: i16 = 8;
/// How many runs may come of one event, those that follow on what they do included.
pub const WIDEST: usize = 1_000;

/// What an activity of a kind is called as an event.
#[must_use]
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Issue => "credits.issued",
        Kind::Consume => "credits.consumed",
        Kind::Hold => "credits.held",
        Kind::Capture => "credits.captured",
        Kind::Release => "credits.released",
        Kind::Lapse => "credits.lapsed",
        Kind::Reverse => "credits.reversed",
        Kind::Expire => "credits.expired",
        Kind::Void => "credits.voided",
        Kind::Reinstate => "credits.reinstated",
        Kind::Extend => "credits.extended",
        Kind::Revive => "credits.revived",
        Kind::TransferOut => "credits.transferred_out",
        Kind::TransferIn => "credits.transferred_in",
        Kind::Reprice => "credits.repriced",
        Kind::Freeze => "credits.frozen",
        Kind::Thaw => "credits.thawed",
    }
}

/// The event of an activity. It repeats what a follower branches on, and nothing that is erased with a person.
#[must_use]
pub fn of_activity(account: &account::Model, activity: &activity::Model, cause: Cause) -> Model {
    let name = name_of(activity.kind);
    Model {
        account_id: activity.account_id,
        id: EventId(fresh_id()),
        name: name.to_owned(),
        version: version_of(name),
        customer_id: Some(activity.customer_id),
        subject_id: activity.id.0,
        payload: json!({
            "activityId": activity.id,
            "creditTypeId": activity.credit_type_id,
            "amount": activity.amount,
            "heldAmount": activity.held_amount,
            "balanceAfter": activity.balance_after,
            "holdId": activity.hold_id,
            "reversesId": activity.reverses_id,
        }),
        at: activity.at,
        depth: cause.depth,
        origin_id: cause.origin,
        pending: is_followed(account, name),
    }
}

/// The event of a threshold that a wallet crossed.
#[must_use]
pub fn of_notice(account: &account::Model, noticed: &Noticed) -> Model {
    let (customer, credit_type): WalletKey = noticed.wallet;
    let grants = |grants: &[(entity::GrantId, entity::Credits, Option<super::clock::Instant>)]| -> Vec<Value> {
        let said =
            |(id, amount, ends): &(_, _, Option<_>)| json!({ "grantId": id, "amount": amount, "expiresAt": ends });
        grants.iter().map(said).collect()
    };
    let (name, payload) = match &noticed.notice {
        Notice::ExpiringSoon { days, expires_at, grants: ending } => (
            "credits.expiring_soon",
            json!({
                "creditTypeId": credit_type,
                "days": days,
                "amount": ending.iter().map(|(_, amount, _)| *amount).sum::<entity::Credits>(),
                "expiresAt": expires_at,
                "grants": grants(ending),
            }),
        ),
        Notice::Balance { threshold, before, available, grants: usable } => (
            if available <= threshold { "balance.low" } else { "balance.recovered" },
            json!({
                "creditTypeId": credit_type,
                "threshold": threshold,
                "before": before,
                "available": available,
                "grants": grants(usable),
            }),
        ),
    };
    Model {
        account_id: account.id,
        id: EventId(fresh_id()),
        name: name.to_owned(),
        version: version_of(name),
        customer_id: Some(customer),
        subject_id: credit_type.0,
        payload,
        at: noticed.at,
        depth: noticed.cause.depth,
        origin_id: noticed.cause.origin,
        pending: is_followed(account, name),
    }
}

fn version_of(name: &str) -> i16 {
    catalogue::built_in(name).map_or(1, |event| event.version)
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Fact {
    pub name: &'static str,
    /// To whom, if to a customer.
    pub customer: Option<CustomerId>,
    /// What it is about.
    pub subject: Uuid,
    pub payload: Value,
}

impl Tx {
    /// Keeps what happened, to be written with what made it happen.
    pub(super) fn emit(&self, fact: Fact) -> EventId {
        self.emit_because(fact, self.cause)
    }

    /// The same, for what this led to.
    pub(super) fn emit_because(&self, fact: Fact, cause: Cause) -> EventId {
        let followed = is_followed(&self.account, fact.name);
        self.note(fact, cause, followed)
    }

    /// The same, for nobody to follow.
    pub(super) fn emit_quietly(&self, fact: Fact) -> EventId {
        self.note(fact, self.cause, false)
    }

    fn note(&self, fact: Fact, cause: Cause, pending: bool) -> EventId {
        let row = Model {
            account_id: self.account.id,
            id: EventId(fresh_id()),
            name: fact.name.to_owned(),
            version: version_of(fact.name),
            customer_id: fact.customer,
            subject_id: fact.subject,
            payload: fact.payload,
            at: self.now,
            depth: cause.depth,
            origin_id: cause.origin,
            pending,
        };
        let id = row.id;
        self.keep([row]);
        id
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub name: Option<String>,
    pub customer: Option<CustomerId>,
}

/// Events, newest first, for staff. By name and by customer they are found in an index of their own.
pub async fn list(view: &View, wish: &Wish, page: &Page<EventId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(name) = &wish.name {
        if name.contains('\0') {
            return Ok(Slice::default());
        }
        select = select.filter(Column::Name.eq(name));
    }
    if let Some(customer) = wish.customer {
        select = select.filter(Column::CustomerId.eq(customer));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Events by id, for staff.
pub async fn by_ids(view: &View, ids: &[EventId]) -> Result<HashMap<EventId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// A stored form, read back.
pub(super) fn read<T: serde::de::DeserializeOwned>(json: &Value) -> Result<T> {
    T::deserialize(json).map_err(|error| Error::Internal(format!("a stored form cannot be read: {error}")))
}

/// What is stored of a form.
pub(super) fn stored(form: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(form).map_err(|error| Error::Internal(format!("a form cannot be stored: {error}")))
}
