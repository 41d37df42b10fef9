//! The records of an entry: its activity, signed, and its allocations.

use crate::activity::{ActorKind, Source};
use crate::{Activity, ActivityId, Allocation};

use super::chain::{self, Record};
use super::command::{Command, Words};
use super::state::{Entry, Pool, Wallet, change};
use crate::chain::ChainKey;

/// An activity and its allocations, in the order in which the grants were taken.
pub type Posted = (Activity, Vec<Allocation>);

/// Who did it, what led to it, and what was said about it.
pub struct Told {
    actor: (ActorKind, String),
    source: Source,
    words: Words,
    reason: Option<String>,
}

impl Told {
    /// What a command says about itself.
    #[must_use]
    pub fn by(actor: (ActorKind, String), source: Source, command: &Command) -> Self {
        Self { actor, source, words: command.words(), reason: command.reason().map(str::to_owned) }
    }

    /// What time says: nothing.
    #[must_use]
    pub fn by_time() -> Self {
        let actor = (ActorKind::System, String::new());
        Self { actor, source: Source::Clock, words: Words::default(), reason: None }
    }
}

/// What is drawn for a record.
pub struct Fresh {
    pub id: ActivityId,
    /// Sixteen bytes that nobody can guess, where there are notes.
    pub salt: fn() -> Vec<u8>,
}

/// The records of an entry that comes next in a wallet; a hold that it opens learns the id of its activity.
#[must_use]
pub fn record(key: &ChainKey, wallet: &Wallet, entry: &mut Entry, told: &Told, fresh: &Fresh) -> Posted {
    let (row, words) = (&wallet.row, &told.words);
    let id = fresh.id;
    let salt = (words.note.is_some() || words.internal_note.is_some()).then(|| (fresh.salt)());
    let digest =
        salt.as_ref().map(|salt| chain::note_digest(salt, words.note.as_deref(), words.internal_note.as_deref()));
    let (free, held) =
        (change(entry.kind, Pool::Remaining, entry.total()), change(entry.kind, Pool::Held, entry.total()));
    let source = entry.source.unwrap_or(told.source);
    let mut activity = Activity {
        account_id: row.account_id,
        id,
        customer_id: row.customer_id,
        credit_type_id: row.credit_type_id,
        sequence: row.sequence + 1,
        kind: entry.kind,
        amount: free,
        held_amount: held,
        balance_before: row.balance,
        balance_after: row.balance + free,
        actor_kind: told.actor.0,
        actor: told.actor.1.clone(),
        source,
        reference: words.reference.clone(),
        reason: entry.reason.map(str::to_owned).or_else(|| told.reason.clone()),
        note: words.note.clone(),
        internal_note: words.internal_note.clone(),
        note_salt: salt,
        note_digest: digest,
        hold_id: entry.hold,
        reverses_id: entry.reverses,
        at: entry.at,
        hash: Vec::new(),
    };
    let allocations = entry
        .draws
        .iter()
        .zip(0..)
        .map(|(draw, position)| Allocation {
            account_id: row.account_id,
            activity_id: id,
            position,
            grant_id: draw.grant,
            amount: draw.amount,
            cost: draw.cost,
            ends_before: draw.ends_before,
            ends_after: draw.ends_after,
            leaves_open: draw.leaves_open,
            cost_from: draw.reprices.map(|moves| moves.from),
            cost_to: draw.reprices.map(|moves| moves.to),
            refunded: draw.refunded,
            allowance: draw.allowance,
        })
        .collect::<Vec<_>>();
    if let Some(opened) = &mut entry.opened {
        opened.activity_id = id;
        opened.sequence = row.sequence + 1;
    }
    let signed = Record {
        activity: &activity,
        allocations: &allocations,
        issued: &entry.issued,
        opened: entry.opened.as_deref(),
    };
    activity.hash = key.sign(&row.hash, &signed);
    (activity, allocations)
}
