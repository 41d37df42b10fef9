//! Transfer: from remaining to transferred, in burn order; each draw becomes one grant of the other customer.

use crate::activity::{Kind, Source};
use crate::{Anchor, CustomerId, ExpirationKind, Grant, GrantId};

use super::issue::arrived;
use super::{Circumstances, Posting};
use crate::command::Transfer;
use crate::draw::draw;
use crate::movement::emptied;
use crate::refusal::Refusal;
use crate::state::{Draw, Entry, Wallet};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &Transfer, around: &Circumstances<'_>) -> Result<Vec<Posting>, Refusal> {
    if around.archived {
        return Err(Refusal::CustomerArchived { field: "toCustomerId".to_owned() });
    }
    let draws = draw(wallet, command.amount, around.at)?;
    let grants = draws.iter().map(|draw| made_of(wallet, draw, command.to, around)).collect();
    let [out, into] = entries(&draws, grants, Source::Transfer, around.at);
    let into = match around.receiver {
        // What was given away before a renewal, and comes back after it, falls under its cap.
        Some(receiver) => arrived(receiver, into, |after, coming| after.within_caps(coming, -1, around.at)),
        None => vec![into],
    };
    let to = (command.to, command.credit_type);
    let into = into.into_iter().map(|entry| Posting { wallet: to, entry });
    Ok(std::iter::once(Posting { wallet: wallet.key(), entry: out }).chain(into).collect())
}

/// What leaves, and what arrives as new grants.
pub(super) fn entries(draws: &[Draw], grants: Vec<Grant>, source: Source, at: Instant) -> [Entry; 2] {
    let left = draws.iter().map(|draw| Draw::of(draw.grant, draw.amount, draw.cost)).collect();
    let made = grants
        .iter()
        .map(|grant| Draw { ends_after: grant.expires_at, ..Draw::of(grant.id, grant.amount, grant.cost) });
    let made = Entry::new(Kind::TransferIn, at, made.collect());
    let source = Some(source);
    [Entry { source, ..Entry::new(Kind::TransferOut, at, left) }, Entry { source, issued: grants, ..made }]
}

/// A draw as a new grant: same start, same end, same priority, given or paid alike, and its share of the cost.
pub(super) fn made_of(wallet: &Wallet, draw: &Draw, customer: CustomerId, around: &Circumstances<'_>) -> Grant {
    let from = wallet.grant(draw.grant).expect("a draw is of a loaded grant");
    let mut made = Grant {
        id: GrantId((around.fresh)()),
        customer_id: customer,
        amount: draw.amount,
        remaining: draw.amount,
        open: true,
        expires_at: from.expires_at,
        cost: draw.cost,
        cost_left: draw.cost,
        source: Source::Transfer,
        origin_id: Some(draw.grant),
        created_at: around.at,
        ..emptied(from)
    };
    // It has passed the caps of the periods that are paid.
    made.period = made.period.max(made.period.and(wallet.newest_cap(&made)));
    // A period that a first use has begun goes on: what is left of it is an exact instant.
    if made.period_from == Some(Anchor::FirstUse) && made.expires_at.is_some() {
        made.expiration = ExpirationKind::At;
        (made.period_count, made.period_unit, made.period_from) = (None, None, None);
    }
    made
}
