//! Hold: from remaining to held, in burn order. Capture: from held to consumed, first taken first, and the rest goes
//! back. Release: from held to remaining, last taken first. One capture or release closes the hold.

use crate::activity::Kind;
use crate::allocation::CostPool;
use crate::hold::Status;
use crate::{ActivityId, Credits, Hold, HoldId};
use chrono::TimeDelta;

use super::Circumstances;
use crate::command::{Capture, Place, Release};
use crate::draw::{draw, split, with_first_use};
use crate::fault::{self, Fault};
use crate::refusal::Refusal;
use crate::state::{CostMove, Draw, Entry, Held, Wallet};
use crate::time::Instant;

/// Open holds of one wallet: all of them are looked at with every command.
const HOLDS: usize = 1_000;

pub(super) fn place(wallet: &Wallet, command: &Place, around: &Circumstances<'_>) -> Result<Vec<Entry>, Refusal> {
    let at = around.at;
    if command.expires_at <= at {
        return Err(Refusal::HoldEndsBeforeItBegins);
    }
    if command.expires_at > at + TimeDelta::days(i64::from(around.account.hold_limit_days)) {
        return Err(Refusal::HoldTooLong { days: around.account.hold_limit_days });
    }
    if wallet.holds.iter().filter(|held| held.row.open).count() >= HOLDS {
        return Err(Refusal::TooManyHolds { most: HOLDS });
    }
    let draws = draw(wallet, command.amount, at)?;
    let id = HoldId((around.fresh)());
    let hold = Hold {
        account_id: wallet.row.account_id,
        id,
        customer_id: wallet.row.customer_id,
        credit_type_id: wallet.row.credit_type_id,
        // Written with its activity, whose id it then gets.
        activity_id: ActivityId(id.0),
        amount: command.amount,
        captured: Credits::ZERO,
        status: Status::Open,
        open: true,
        reference: command.words.reference.clone(),
        placed_at: at,
        expires_at: command.expires_at,
        closed_at: None,
        // Likewise.
        sequence: 0,
    };
    let opened = Some(Box::new(hold));
    Ok(vec![Entry { opened, hold: Some(id), ..Entry::new(Kind::Hold, at, draws) }])
}

pub(super) fn capture(wallet: &Wallet, command: &Capture, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let held = open(wallet, command.hold)?;
    let amount = command.amount.unwrap_or(held.row.amount);
    if amount > held.row.amount {
        return Err(Refusal::MoreThanLeft { requested: amount, left: held.row.amount });
    }
    let (used, rest) = if fault::is(Fault::Capture) {
        let (rest, used) = split(&held.draws, held.row.amount - amount);
        (used, rest)
    } else {
        split(&held.draws, amount)
    };
    let id = Some(command.hold);
    let lost = lost(wallet, &used, at);
    let capture = Entry { hold: id, ..Entry::new(Kind::Capture, at, with_first_use(wallet, used, at)) };
    Ok(std::iter::once(capture).chain(lost).chain(go_back(wallet, id, &rest, at)).collect())
}

/// What is used of credits that were charged back, or never paid, is lost (selling.md, S8, S10).
fn lost(wallet: &Wallet, used: &[Draw], at: Instant) -> Option<Entry> {
    let moves = Some(CostMove { from: CostPool::Consumed, to: CostPool::Lost });
    let of = used.iter().filter(|draw| wallet.given_up.contains(&draw.grant) && !draw.cost.is_zero());
    let draws = of.map(|draw| Draw { reprices: moves, ..Draw::of(draw.grant, Credits::ZERO, draw.cost) });
    let draws = draws.collect::<Vec<_>>();
    let reason = Some("Its money was charged back, or never came");
    (!draws.is_empty()).then(|| Entry { follows: true, reason, ..Entry::new(Kind::Reprice, at, draws) })
}

pub(super) fn release(wallet: &Wallet, command: &Release, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let held = open(wallet, command.hold)?;
    Ok(go_back(wallet, Some(command.hold), &held.draws, at))
}

fn open(wallet: &Wallet, id: HoldId) -> Result<&Held, Refusal> {
    let held = wallet.hold(id).ok_or_else(|| Refusal::not_found("holdId", "hold"))?;
    match held.row.closed_at {
        None => Ok(held),
        Some(at) => {
            let became = match held.row.status {
                Status::Captured => "captured",
                Status::Lapsed => "lapsed",
                Status::Open | Status::Released => "released",
            };
            Err(Refusal::HoldClosed { became: became.to_owned(), at })
        }
    }
}

/// Gives back what was held, last taken first; what comes back to a grant that has ended goes on.
fn go_back(wallet: &Wallet, hold: Option<HoldId>, draws: &[Draw], at: Instant) -> Vec<Entry> {
    if draws.is_empty() {
        return Vec::new();
    }
    let since = hold.and_then(|id| wallet.hold(id)).map_or(0, |held| held.row.sequence);
    let (draws, onward) = wallet.come_back(draws.iter().rev().copied().collect(), since, at);
    std::iter::once(Entry { hold, ..Entry::new(Kind::Release, at, draws) }).chain(onward).collect()
}
