//! Reprice: cost moves, and no credit does. Freeze and thaw: nothing moves, and what is free of grants can be used no more,
//! or again.

use crate::activity::Kind;
use crate::{Credits, Minor};

use crate::allocation::CostPool;
use crate::command::{Freeze, Reprice};
use crate::movement::cost_in;
use crate::refusal::Refusal;
use crate::state::{CostMove, Draw, Entry, Wallet};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &Reprice, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let grant = wallet.grant(command.grant).ok_or_else(|| Refusal::not_found("grantId", "grant"))?;
    let (returned, cost) = command.returns;
    if cost_in(grant, command.moves.from) < command.cost + cost {
        return Err(Refusal::NothingToVoid);
    }
    let mut entries = Vec::new();
    if !(command.credits.is_zero() && command.cost.is_zero()) {
        let draw = Draw { reprices: Some(command.moves), ..Draw::of(grant.id, command.credits, command.cost) };
        entries.push(Entry { reverses: command.of, ..Entry::new(Kind::Reprice, at, vec![draw]) });
    }
    if !returned.is_zero() {
        // What came back was voided, because its money was to go back: it did not, so it is there again.
        let back = Draw { leaves_open: true, ..Draw::of(grant.id, returned, Minor::ZERO) };
        entries.push(Entry::new(Kind::Reinstate, at, vec![back]));
        let moves = CostMove { from: command.moves.from, to: CostPool::Left };
        let all = grant.remaining + returned;
        let priced = Draw { reprices: Some(moves), ..Draw::of(grant.id, all, cost) };
        entries.push(Entry::new(Kind::Reprice, at, vec![priced]));
        entries.extend(wallet.onward(&[Draw::of(grant.id, returned, cost)], at));
    }
    Ok(entries)
}

pub(super) fn freeze(wallet: &Wallet, command: &Freeze, at: Instant) -> Vec<Entry> {
    let kind = if command.thaw { Kind::Thaw } else { Kind::Freeze };
    let changes = command.grants.iter().filter_map(|id| wallet.grant(*id)).filter(|grant| grant.frozen == command.thaw);
    let draws = changes.map(|grant| Draw::of(grant.id, Credits::ZERO, Minor::ZERO)).collect::<Vec<_>>();
    if draws.is_empty() { Vec::new() } else { vec![Entry::new(kind, at, draws)] }
}
