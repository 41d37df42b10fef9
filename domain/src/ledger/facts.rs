//! The events of the ledger's own: of an activity, and of a threshold that was crossed.

use entity::activity::Kind;
use entity::event::Model;
use entity::{EventId, account};
use ledger::Activity;
use serde_json::{Value, json};

use super::state::WalletKey;
use super::watch::{Notice, Noticed};
use crate::ground::cause::Cause;
use crate::ground::clock::{Instant, fresh_id};
use crate::queue::events::followed::is_followed;
use crate::queue::events::version_of;

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
pub fn of_activity(account: &account::Model, activity: &Activity, cause: Cause) -> Model {
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
    let grants = |grants: &[(entity::GrantId, entity::Credits, Option<Instant>)]| -> Vec<Value> {
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
