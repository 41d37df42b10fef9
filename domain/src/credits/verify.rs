//! Recomputes every grant, wallet and chain of an account from its activities, and names what differs.

use std::collections::HashMap;

use entity::{CreditTypeId, Credits, CustomerId, activity, allocation, converted, credit_grant, hold, wallet};
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::Totals;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::ground::clock::fresh_salt;
use crate::ground::error::Result;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::keys::LedgerKey;
use crate::ledger::replay::Walk;
use crate::ledger::state::WalletKey;
use crate::storage::tx::View;

/// Wallets, and activities of one wallet, that are read at a time.
const CHUNK: u64 = 500;
/// Wallets that are read and walked in turns.
const AT_ONCE: usize = 2;

/// Something in the database that the activities do not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which wallet: customer and credit type; none if it concerns the account as a whole.
    pub wallet: Option<WalletKey>,
    /// What differs, in words.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub wallets: u64,
    pub activities: u64,
    pub findings: Vec<Finding>,
    /// What was walked beside them.
    rows: Rows,
}

/// How many rows were walked, and how many credits went from wallet to wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    activities: u64,
    allocations: u64,
    grants: u64,
    holds: u64,
    given: Credits,
    received: Credits,
}

impl Rows {
    fn add(&mut self, other: Self) {
        self.activities += other.activities;
        self.allocations += other.allocations;
        self.grants += other.grants;
        self.holds += other.holds;
        self.given += other.given;
        self.received += other.received;
    }
}

/// Verifies one account on one snapshot. Tells as it goes how many more activities it has walked, and how many there are.
pub async fn verify(caller: &Caller, tell: impl Fn(u64, u64)) -> Result<Report> {
    let view = caller.view(Scope::StaffRead).await?;
    let stored = view.rows::<activity::Entity>().count(view.db()).await?;
    let tell = |more| tell(more, stored);
    tell(0);
    let mut report = Report::default();
    let mut after: Option<WalletKey> = None;
    loop {
        let rows = next_wallets(&view, after).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.customer_id, last.credit_type_id));
        report.add(&view, &caller.app().store().key, &rows, &tell).await?;
    }
    // What no wallet leads to was walked by nobody.
    let rows = report.rows;
    let counts = [
        ("activities", stored, rows.activities),
        ("allocations", view.rows::<allocation::Entity>().count(view.db()).await?, rows.allocations),
        ("grants", view.rows::<credit_grant::Entity>().count(view.db()).await?, rows.grants),
        ("holds", view.rows::<hold::Entity>().count(view.db()).await?, rows.holds),
    ];
    for (name, stored, walked) in counts.into_iter().filter(|(_, stored, walked)| stored != walked) {
        let what = format!("{stored} {name} are stored, {walked} belong to a wallet");
        report.findings.push(Finding { wallet: None, what });
    }
    if rows.given != rows.received {
        let what = format!("{} credits were given by wallets to others, {} were received", rows.given, rows.received);
        report.findings.push(Finding { wallet: None, what });
    }
    Ok(report)
}

/// Verifies some wallets of one account, from a random place on: enough to notice that a disk or a hand has been at work
/// everywhere, at a cost that does not grow with the ledger.
pub async fn sample(caller: &Caller) -> Result<Report> {
    let view = caller.view(Scope::StaffRead).await?;
    let end = |order| view.rows::<wallet::Entity>().order_by(wallet::Column::CustomerId, order).limit(1);
    let (first, last) = (end(Order::Asc).one(view.db()).await?, end(Order::Desc).one(view.db()).await?);
    let mut report = Report::default();
    let (Some(first), Some(last)) = (first, last) else { return Ok(report) };
    let (low, high) = (first.customer_id.0.as_u128(), last.customer_id.0.as_u128());
    let place = fresh_salt().iter().fold(0_u128, |place, byte| (place << 8) | u128::from(*byte));
    // Ids grow with time: a random id between the oldest customer's and the newest's.
    let from = low + place % (high - low + 1);
    let after = (CustomerId(Uuid::from_u128(from.saturating_sub(1))), CreditTypeId(Uuid::from_u128(u128::MAX)));
    let rows = next_wallets(&view, Some(after)).await?;
    report.add(&view, &caller.app().store().key, &rows, &|_| ()).await?;
    Ok(report)
}

impl Report {
    /// Verifies some wallets more.
    async fn add(&mut self, view: &View, key: &LedgerKey, rows: &[Totals], tell: &impl Fn(u64)) -> Result<()> {
        let mut verified = stream::iter(rows.iter().map(|row| verify_wallet(view, key, row, tell))).buffered(AT_ONCE);
        while let Some((rows, findings)) = verified.try_next().await? {
            self.wallets += 1;
            self.activities += rows.activities;
            self.rows.add(rows);
            self.findings.extend(findings);
        }
        Ok(())
    }
}

pub(crate) async fn next_wallets(view: &View, after: Option<WalletKey>) -> Result<Vec<Totals>> {
    let mut select = view.rows::<wallet::Entity>();
    if let Some((customer, credit_type)) = after {
        let key = Expr::tuple([Expr::col(wallet::Column::CustomerId), Expr::col(wallet::Column::CreditTypeId)]);
        select = select.filter(sea_orm::sea_query::ExprTrait::gt(
            key,
            Expr::tuple([Expr::val(customer.0), Expr::val(credit_type.0)]),
        ));
    }
    let in_order = select.order_by_asc(wallet::Column::CustomerId).order_by_asc(wallet::Column::CreditTypeId);
    Ok(converted(in_order.limit(CHUNK).all(view.db()).await?))
}

/// Verifies a wallet; answers what was walked, and what its activities do not explain.
async fn verify_wallet(
    view: &View,
    key: &LedgerKey,
    row: &Totals,
    tell: &impl Fn(u64),
) -> Result<(Rows, Vec<Finding>)> {
    let of_wallet = (row.customer_id, row.credit_type_id);
    let grants = view
        .rows::<credit_grant::Entity>()
        .filter(credit_grant::Column::CustomerId.eq(row.customer_id))
        .filter(credit_grant::Column::CreditTypeId.eq(row.credit_type_id))
        .all(view.db())
        .await?;
    let holds = view
        .rows::<hold::Entity>()
        .filter(hold::Column::CustomerId.eq(row.customer_id))
        .filter(hold::Column::CreditTypeId.eq(row.credit_type_id))
        .all(view.db())
        .await?;
    let grants = grants.into_iter().map(|grant| (grant.id, grant.into())).collect::<HashMap<_, _>>();
    let holds = holds.into_iter().map(|hold| (hold.id, hold.into())).collect::<HashMap<_, _>>();
    let mut walk = Walk::new(&key.chain, row, &grants, &holds);
    let mut rows = Rows { grants: grants.len() as u64, holds: holds.len() as u64, ..Rows::default() };
    loop {
        let activities = view
            .rows::<activity::Entity>()
            .filter(activity::Column::CustomerId.eq(row.customer_id))
            .filter(activity::Column::CreditTypeId.eq(row.credit_type_id))
            .filter(activity::Column::Sequence.gt(walk.sequence()))
            .order_by_asc(activity::Column::Sequence)
            .limit(CHUNK)
            .all(view.db())
            .await?;
        if activities.is_empty() {
            break;
        }
        rows.activities += activities.len() as u64;
        let ids = activities.iter().map(|activity| activity.id).collect::<Vec<_>>();
        let mut allocations = crate::ledger::activity::allocations(view, &ids).await?;
        // The next wallet asks for its rows first, which come while these are walked.
        tokio::task::yield_now().await;
        let walked = activities.len() as u64;
        for activity in activities {
            let of_it = allocations.remove(&activity.id).unwrap_or_default();
            rows.allocations += of_it.len() as u64;
            walk.step(&activity.into(), &converted(of_it));
        }
        tell(walked);
    }
    (rows.given, rows.received) = walk.transferred();
    let findings = walk.end().into_iter().map(|what| Finding { wallet: Some(of_wallet), what });
    Ok((rows, findings.collect()))
}
