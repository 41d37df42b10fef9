//! Events: what happened, for whoever follows. Each is written in the transaction of its fact.

use entity::activity::{self, Kind};
use entity::event::{Column, Entity, Model};
use entity::{CustomerId, EventId};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use super::clock::fresh_id;
use super::error::Result;
use super::page::{Page, Slice};
use super::tx::{Tx, View};

/// Of the payloads of the ledger's events.
const VERSION: i16 = 1;

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
        Kind::Extend => "credits.extended",
        Kind::Revive => "credits.revived",
        Kind::TransferOut => "credits.transferred_out",
        Kind::TransferIn => "credits.transferred_in",
    }
}

/// The event of an activity. It repeats what a follower branches on, and nothing that is erased with a person.
#[must_use]
pub fn of_activity(activity: &activity::Model) -> Model {
    Model {
        account_id: activity.account_id,
        id: EventId(fresh_id()),
        name: name_of(activity.kind).to_owned(),
        version: VERSION,
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
    }
}

/// A fact of selling, for whoever follows.
#[derive(Clone, Debug)]
pub struct Fact {
    pub name: &'static str,
    pub customer: CustomerId,
    /// What it is about.
    pub subject: Uuid,
    pub payload: Value,
}

impl Tx {
    /// Writes what happened beside what made it happen.
    pub(super) async fn emit(&self, fact: Fact) -> Result<()> {
        let row = Model {
            account_id: self.account.id,
            id: EventId(fresh_id()),
            name: fact.name.to_owned(),
            version: VERSION,
            customer_id: Some(fact.customer),
            subject_id: fact.subject,
            payload: fact.payload,
            at: self.now,
        };
        row.into_active_model().insert(self.db()).await?;
        Ok(())
    }
}

/// Events, newest first, for staff.
pub async fn list(view: &View, page: &Page<EventId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let rows = page.of(view.rows::<Entity>(), Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// An event by its id, for staff.
pub async fn by_id(view: &View, id: EventId) -> Result<Option<Model>> {
    view.staff_only()?;
    Ok(view.rows::<Entity>().filter(Column::Id.eq(id)).one(view.db()).await?)
}
