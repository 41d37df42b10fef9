//! What selling asks the ledger for: to take credits or their cost, to give them back, to freeze and thaw them.

use std::collections::{BTreeMap, BTreeSet};

use entity::activity::{self, ActorKind, Kind, Source};
use entity::allocation::CostPool;
use entity::product_order;
use entity::{ActivityId, CreditTypeId, Credits, CustomerId, GrantId, Minor, Owned, allocation};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::refund::Take;
use super::{Lot, Sale, load};
use crate::ground::error::{Error, Refusal, Result};
use crate::ledger::state::{CostMove, Draw, WalletKey, share};
use crate::ledger::{self, Closing, Command, Freeze, OnExpired, Outcome, Reprice, Reverse, Settle, Void, Words, drawn};
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// Who does it, and why.
#[derive(Clone, Copy)]
pub struct By<'a> {
    pub actor: &'a (ActorKind, String),
    /// The customer sees it.
    pub reason: &'a str,
}

/// Whose wallets are locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The buyer's.
    Own,
    /// Everybody's who has credits of the order.
    All,
}

/// Reads a sale whose credits nobody else moves until the transaction ends: what time has done to them is written.
pub async fn locked(tx: &Tx, store: &Store, order: product_order::Model, whose: Whose) -> Result<Sale> {
    let mut known: BTreeSet<WalletKey> = BTreeSet::new();
    loop {
        let sale = load::sale(tx.db(), order.clone(), tx.now, whose == Whose::All).await?;
        let is_ours = |key: &WalletKey| whose == Whose::All || key.0 == sale.buyer();
        let wallets = load::wallets(&sale.lots).into_iter().filter(is_ours).collect::<BTreeSet<_>>();
        if wallets.is_subset(&known) {
            return Ok(sale);
        }
        let settle = |(customer, credit_type): &WalletKey| {
            Command::Settle(Settle { customer: *customer, credit_type: *credit_type })
        };
        let nobody = (ActorKind::System, String::new());
        for outcome in ledger::within(tx, store, (nobody, Source::Clock), wallets.iter().map(settle).collect()).await? {
            outcome?;
        }
        known.extend(wallets);
    }
}

/// Carries out commands on a locked sale, as far as there is something to take or give back.
pub async fn post(tx: &Tx, store: &Store, actor: &(ActorKind, String), commands: Vec<Command>) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    for outcome in ledger::within(tx, store, (actor.clone(), Source::Order), commands).await? {
        match outcome {
            Ok(_) | Err(Error::Refused(Refusal::NothingToVoid | Refusal::ReversedBefore)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes exactly what was decided; answers the activities. Where the ledger's clock has ended some of it in between, all of
/// it is to be decided again.
pub async fn take(tx: &Tx, store: &Store, sale: &Sale, taken: &[Take], by: By<'_>) -> Result<Vec<ActivityId>> {
    let commands = takes(sale, taken, by.reason);
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    for outcome in ledger::within(tx, store, (by.actor.clone(), Source::Order), commands).await? {
        match outcome {
            Ok(Outcome { activities, .. }) => ids.extend(activities.into_iter().map(|(activity, _)| activity.id)),
            Err(Error::Refused(Refusal::NothingToVoid)) => {
                return Err(Error::Conflict("some of the credits ended while they were refunded".to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ids)
}

fn words(order: &product_order::Model) -> Words {
    Words { reference: Some(order.id.to_string()), ..Words::default() }
}

/// The commands that take what a refund takes. They leave the grants open: what comes back is marked (selling.md, S9).
#[must_use]
pub fn takes(sale: &Sale, takes: &[Take], reason: &str) -> Vec<Command> {
    let of = |take: &Take| {
        let (Take::Credits { grant, .. } | Take::Cost { grant, .. }) = *take;
        let (customer, credit_type) = sale.lot(grant)?.wallet();
        Some(match *take {
            Take::Credits { credits, cost, .. } => Command::Void(Void {
                grant,
                customer,
                credit_type,
                reason: reason.to_owned(),
                closing: Closing::Never,
                part: Some((credits, cost)),
                words: words(&sale.order),
            }),
            Take::Cost { of, from, credits, cost, .. } => {
                let moves = CostMove { from, to: CostPool::Reduced };
                reprice(&sale.order, (customer, credit_type), grant, reason, Repriced { of, moves, credits, cost })
            }
        })
    };
    takes.iter().filter_map(of).collect()
}

struct Repriced {
    of: Option<ActivityId>,
    moves: CostMove,
    credits: Credits,
    cost: Minor,
}

fn reprice(
    order: &product_order::Model,
    (customer, credit_type): (CustomerId, CreditTypeId),
    grant: GrantId,
    reason: &str,
    Repriced { of, moves, credits, cost }: Repriced,
) -> Command {
    Command::Reprice(Reprice {
        grant,
        customer,
        credit_type,
        of,
        moves,
        credits,
        cost,
        returns: (Credits::ZERO, Minor::ZERO),
        reason: reason.to_owned(),
        words: words(order),
    })
}

/// The commands that give a sale up: what is free is voided, whoever has it, what comes back later is voided too, and what
/// was used, or has ended, is lost (selling.md, S5, S8, S9, S10).
#[must_use]
pub fn give_up(sale: &Sale, reason: &str) -> Vec<Command> {
    let void = |lot: &Lot| {
        let (customer, credit_type) = lot.wallet();
        Command::Void(Void {
            grant: lot.grant.id,
            customer,
            credit_type,
            reason: reason.to_owned(),
            closing: Closing::Always,
            part: None,
            words: words(&sale.order),
        })
    };
    let lost = |from| CostMove { from, to: CostPool::Lost };
    let used = sale.uses.iter().filter(|used| !used.cost.is_zero()).filter_map(|used| {
        let what = Repriced {
            of: Some(used.activity),
            moves: lost(CostPool::Consumed),
            credits: Credits::ZERO,
            cost: used.cost,
        };
        Some(reprice(&sale.order, sale.lot(used.grant)?.wallet(), used.grant, reason, what))
    });
    let ended = sale.lots.iter().filter(|lot| !lot.grant.cost_expired.is_zero()).map(|lot| {
        let cost = lot.grant.cost_expired;
        let what = Repriced { of: None, moves: lost(CostPool::Expired), credits: Credits::ZERO, cost };
        reprice(&sale.order, lot.wallet(), lot.grant.id, reason, what)
    });
    sale.lots.iter().map(void).chain(used).chain(ended).collect()
}

/// The commands that freeze what is free of a sale, whoever has it, or thaw it (selling.md, S10).
#[must_use]
pub fn freeze(sale: &Sale, thaw: bool, reason: &str) -> Vec<Command> {
    let mut by_wallet: BTreeMap<WalletKey, Vec<GrantId>> = BTreeMap::new();
    for lot in sale.lots.iter().filter(|lot| lot.grant.frozen == thaw) {
        by_wallet.entry(lot.wallet()).or_default().push(lot.grant.id);
    }
    let freeze = |((customer, credit_type), grants)| {
        let (reason, words) = (reason.to_owned(), words(&sale.order));
        Command::Freeze(Freeze { grants, customer, credit_type, thaw, reason, words })
    };
    by_wallet.into_iter().map(freeze).collect()
}

/// Gives back what giving a sale up took: its voids and what went on since because they had closed its grants, and the
/// cost that was lost. Whatever came before was voided by hand, and stays so. The sale is locked.
pub async fn give_back(tx: &Tx, store: &Store, sale: &Sale, by: By<'_>) -> Result<()> {
    let grants = sale.lots.iter().map(|lot| lot.grant.id).collect::<Vec<_>>();
    let allocations = allocation::Entity::of(tx.account.id).filter(allocation::Column::GrantId.is_in(grants));
    let allocations = allocations.all(tx.db()).await?;
    let ids = allocations.iter().map(|allocation| allocation.activity_id).collect::<BTreeSet<_>>();
    let activities = activity::Entity::of(tx.account.id)
        .filter(activity::Column::Id.is_in(ids))
        .filter(activity::Column::Kind.is_in([Kind::Void, Kind::Reprice]))
        .order_by_asc(activity::Column::Sequence)
        .all(tx.db())
        .await?;
    let activities = activities.into_iter().map(|activity| (activity.id, activity)).collect::<BTreeMap<_, _>>();
    let reference = sale.order.id.to_string();
    let is_ours =
        |found: &activity::Model| found.source == Source::Order && found.reference.as_deref() == Some(&reference);
    let mut commands = Vec::new();
    for lot in &sale.lots {
        let of_lot = || {
            let of_lot = allocations.iter().filter(|allocation| allocation.grant_id == lot.grant.id);
            of_lot.filter_map(|row| Some((row, activities.get(&row.activity_id)?)))
        };
        let voids = || of_lot().filter(|(_, activity)| activity.kind == Kind::Void);
        let closed = voids().filter(|(row, found)| is_ours(found) && !row.leaves_open).map(|(_, found)| found.sequence);
        // The last one: those before it were undone, and what is open is given back already.
        if let Some(closed) = closed.max().filter(|_| lot.grant.closed) {
            // Neither what a refund marked nor what was closed by hand is ours to give back.
            let of_it = voids().filter(|(row, found)| !row.refunded && (row.leaves_open || is_ours(found)));
            let mut since = of_it.map(|(_, found)| found).collect::<Vec<_>>();
            since.retain(|found| found.sequence >= closed);
            since.sort_by_key(|found| found.sequence);
            commands.extend(since.into_iter().map(|void| undo(&sale.order, void, by.reason)));
        }
        // What was lost, less what was put back before.
        let mut lost: BTreeMap<(Option<ActivityId>, &str), (CostPool, Minor)> = BTreeMap::new();
        for (row, found) in of_lot() {
            match row.cost_from.zip(row.cost_to) {
                Some((from, CostPool::Lost)) => {
                    lost.entry((found.reverses_id, name(from))).or_insert((from, Minor::ZERO)).1 += row.cost;
                }
                Some((CostPool::Lost, to)) => {
                    lost.entry((found.reverses_id, name(to))).or_insert((to, Minor::ZERO)).1 -= row.cost;
                }
                _ => {}
            }
        }
        for ((of, _), (to, cost)) in lost.into_iter().filter(|(_, (_, cost))| !cost.is_zero()) {
            let what = Repriced { of, moves: CostMove { from: CostPool::Lost, to }, credits: Credits::ZERO, cost };
            commands.push(reprice(&sale.order, lot.wallet(), lot.grant.id, by.reason, what));
        }
    }
    post(tx, store, by.actor, commands).await
}

fn name(pool: CostPool) -> &'static str {
    if pool == CostPool::Consumed { "consumed" } else { "expired" }
}

/// Undoes a void as a whole: what has ended meanwhile ends at once.
fn undo(order: &product_order::Model, void: &activity::Model, reason: &str) -> Command {
    Command::Reverse(Reverse {
        activity: void.id,
        customer: void.customer_id,
        credit_type: void.credit_type_id,
        amount: None,
        on_expired: OnExpired::Forfeit,
        reason: reason.to_owned(),
        words: words(order),
    })
}

/// Undoes what a refund took: its voids, and then its reprices. Marks are removed, and what was voided because of them is
/// there again (selling.md, S7). The sale is locked, with everybody's wallets.
pub async fn undo_takes(tx: &Tx, store: &Store, sale: &Sale, ids: &[ActivityId], by: By<'_>) -> Result<()> {
    let taken = activity::Entity::of(tx.account.id).filter(activity::Column::Id.is_in(ids.iter().copied()));
    let taken = taken.order_by_asc(activity::Column::Id).all(tx.db()).await?;
    let (voids, reprices): (Vec<_>, Vec<_>) = taken.into_iter().partition(|activity| activity.kind == Kind::Void);
    let undone = voids.iter().map(|void| undo(&sale.order, void, by.reason)).collect();
    post(tx, store, by.actor, undone).await?;
    // Each by itself, on what the one before it left.
    for row in reprices.iter().filter(|activity| activity.kind == Kind::Reprice) {
        let sale = load::sale(tx.db(), sale.order.clone(), tx.now, false).await?;
        let of = allocation::Entity::of(tx.account.id).filter(allocation::Column::ActivityId.eq(row.id));
        let Some(allocation) = of.one(tx.db()).await? else { continue };
        let (Some(lot), Some(from)) = (sale.lot(allocation.grant_id), allocation.cost_from) else { continue };
        let marked = still_marked(tx, lot, (from, row.reverses_id)).await?;
        let what = (row.reverses_id, from, Draw::read(&allocation.into()));
        let command = put_back(&sale.order, lot, what, marked, by.reason);
        post(tx, store, by.actor, vec![command]).await?;
    }
    Ok(())
}

/// How many of what a refund marked are marked still.
async fn still_marked(tx: &Tx, lot: &Lot, (from, of): (CostPool, Option<ActivityId>)) -> Result<Credits> {
    match (from, of) {
        (CostPool::Expired, _) => Ok(lot.grant.expired_marked),
        (_, Some(of)) => {
            let used = drawn::used(tx.db(), &BTreeSet::from([(tx.account.id, of)])).await?;
            Ok(used.values().map(|used| used.marked_of(lot.grant.id)).sum())
        }
        _ => Ok(Credits::ZERO),
    }
}

/// The command that puts cost back to where it was taken off, or where those credits are now (pure).
#[must_use]
pub fn put_back(
    order: &product_order::Model,
    lot: &Lot,
    (of, from, taken): (Option<ActivityId>, CostPool, Draw),
    still_marked: Credits,
    reason: &str,
) -> Command {
    let grant = &lot.grant;
    let (to, marks, returned) = if from == CostPool::Left {
        let there = [
            (CostPool::Left, grant.remaining),
            (CostPool::Consumed, grant.consumed),
            (CostPool::Expired, grant.expired),
            (CostPool::Transferred, grant.transferred),
            (CostPool::Voided, grant.voided),
        ];
        let to = there.into_iter().find(|(_, credits)| !credits.is_zero()).map_or(CostPool::Consumed, |(pool, _)| pool);
        let all = if taken.amount == Credits(1) { Credits(1) } else { grant.remaining };
        (to, if to == CostPool::Left { all } else { Credits::ZERO }, Credits::ZERO)
    } else {
        let marks = still_marked.min(taken.amount);
        (from, marks, (taken.amount - marks).min(grant.voided))
    };
    let of_returned = share(taken.cost, returned, taken.amount);
    let (customer, credit_type) = lot.wallet();
    Command::Reprice(Reprice {
        grant: grant.id,
        customer,
        credit_type,
        of,
        moves: CostMove { from: CostPool::Reduced, to },
        credits: marks,
        cost: taken.cost - of_returned,
        returns: (returned, of_returned),
        reason: reason.to_owned(),
        words: words(order),
    })
}
