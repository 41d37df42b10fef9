//! Recomputes every grant, wallet and chain of an account from its activities, and names what differs.

use std::collections::{HashMap, HashSet};

use entity::activity::Kind;
use entity::{ActivityId, Credits, GrantId, Minor, activity, allocation, credit_grant, wallet};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::chain::{self, LedgerKey};
use super::state::{self, WalletKey};
use crate::domain::caller::{Caller, Scope};
use crate::domain::clock::Instant;
use crate::domain::error::Result;
use crate::domain::tx::View;

/// Wallets, and activities of one wallet, that are read at a time.
const CHUNK: u64 = 500;

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
}

/// Verifies one account on one snapshot.
pub async fn verify(caller: &Caller) -> Result<Report> {
    let view = caller.view(Scope::StaffRead).await?;
    let mut report = Report::default();
    let mut after: Option<WalletKey> = None;
    loop {
        let rows = next_wallets(&view, after).await?;
        let Some(last) = rows.last() else { break };
        after = Some((last.customer_id, last.credit_type_id));
        for row in rows {
            let activities = verify_wallet(&view, &caller.app().store().key, row, &mut report.findings).await?;
            report.wallets += 1;
            report.activities += activities;
        }
    }
    let stored = view.rows::<activity::Entity>().count(view.db()).await?;
    if stored != report.activities {
        let what = format!("{stored} activities are stored, {} belong to a wallet", report.activities);
        report.findings.push(Finding { wallet: None, what });
    }
    Ok(report)
}

async fn next_wallets(view: &View, after: Option<WalletKey>) -> Result<Vec<wallet::Model>> {
    let mut select = view.rows::<wallet::Entity>();
    if let Some((customer, credit_type)) = after {
        let key = Expr::tuple([Expr::col(wallet::Column::CustomerId), Expr::col(wallet::Column::CreditTypeId)]);
        select = select.filter(sea_orm::sea_query::ExprTrait::gt(
            key,
            Expr::tuple([Expr::val(customer.0), Expr::val(credit_type.0)]),
        ));
    }
    Ok(select
        .order_by_asc(wallet::Column::CustomerId)
        .order_by_asc(wallet::Column::CreditTypeId)
        .limit(CHUNK)
        .all(view.db())
        .await?)
}

/// What the activities of a grant add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    issues: u64,
    first_used_at: Option<Instant>,
    issued: Credits,
    consumed: Credits,
    expired: Credits,
    voided: Credits,
    cost: Minor,
    cost_consumed: Minor,
    cost_expired: Minor,
    cost_voided: Minor,
}

/// A wallet's activities, walked from the first to the last.
struct Walk<'a> {
    row: &'a wallet::Model,
    grants: &'a HashMap<GrantId, credit_grant::Model>,
    tallies: HashMap<GrantId, Tally>,
    sequence: i64,
    newest_at: Instant,
    balance: Credits,
    hash: Vec<u8>,
    found: Vec<String>,
    broken: bool,
}

async fn verify_wallet(view: &View, key: &LedgerKey, row: wallet::Model, findings: &mut Vec<Finding>) -> Result<u64> {
    let of_wallet = (row.customer_id, row.credit_type_id);
    let grants = view
        .rows::<credit_grant::Entity>()
        .filter(credit_grant::Column::CustomerId.eq(row.customer_id))
        .filter(credit_grant::Column::CreditTypeId.eq(row.credit_type_id))
        .all(view.db())
        .await?;
    let grants = grants.into_iter().map(|grant| (grant.id, grant)).collect::<HashMap<_, _>>();
    let mut walk = Walk {
        row: &row,
        grants: &grants,
        tallies: HashMap::new(),
        sequence: 0,
        newest_at: Instant::UNIX_EPOCH,
        balance: Credits::ZERO,
        hash: chain::GENESIS.to_vec(),
        found: Vec::new(),
        broken: false,
    };
    let mut count = 0;
    loop {
        let activities = view
            .rows::<activity::Entity>()
            .filter(activity::Column::CustomerId.eq(row.customer_id))
            .filter(activity::Column::CreditTypeId.eq(row.credit_type_id))
            .filter(activity::Column::Sequence.gt(walk.sequence))
            .order_by_asc(activity::Column::Sequence)
            .limit(CHUNK)
            .all(view.db())
            .await?;
        if activities.is_empty() {
            break;
        }
        count += activities.len() as u64;
        let ids = activities.iter().map(|activity| activity.id).collect::<Vec<_>>();
        let allocations = super::activity::allocations(view, &ids).await?;
        for activity in &activities {
            walk.step(key, activity, allocations.get(&activity.id).map_or(&[], Vec::as_slice));
        }
    }
    walk.end();
    findings.extend(walk.found.into_iter().map(|what| Finding { wallet: Some(of_wallet), what }));
    Ok(count)
}

impl Walk<'_> {
    fn find(&mut self, what: String) {
        self.found.push(what);
    }

    fn step(&mut self, key: &LedgerKey, activity: &activity::Model, allocations: &[allocation::Model]) {
        let id = activity.id;
        if activity.sequence != self.sequence + 1 {
            self.find(format!(
                "activity {} is followed by {}: what was between is gone",
                self.sequence, activity.sequence
            ));
        }
        if activity.balance_before != self.balance {
            self.find(format!(
                "{id} begins at a balance of {}, the one before ended at {}",
                activity.balance_before, self.balance
            ));
        }
        let total = allocations.iter().map(|allocation| allocation.amount).sum();
        if activity.amount != state::signed_amount(activity.kind, total) {
            self.find(format!("{id} moves {}, its allocations add up to {total}", activity.amount));
        }
        self.check_notes(id, activity);
        let issued = allocations
            .first()
            .filter(|_| chain::makes_grant(activity.kind))
            .and_then(|allocation| self.grants.get(&allocation.grant_id));
        let ends = self.ends_set_by(activity, allocations);
        let expected = key.sign(&self.hash, activity, allocations, issued, &ends);
        if activity.hash != expected && !self.broken {
            self.broken = true;
            self.find(format!("{id} does not carry the hash of what it says: it, or one before it, was altered"));
        }
        for allocation in allocations {
            self.tally(activity, allocation);
        }
        self.sequence = activity.sequence;
        self.newest_at = activity.at;
        self.balance = activity.balance_after;
        // What is stored goes on, so that one alteration is one finding.
        self.hash.clone_from(&activity.hash);
    }

    fn check_notes(&mut self, id: ActivityId, activity: &activity::Model) {
        let (Some(salt), Some(digest)) = (&activity.note_salt, &activity.note_digest) else {
            if activity.note.is_some() || activity.internal_note.is_some() {
                self.find(format!("{id} has a note that it was not written with"));
            }
            return;
        };
        if *digest != chain::note_digest(salt, activity.note.as_deref(), activity.internal_note.as_deref()) {
            self.find(format!("{id} has another note than it was written with"));
        }
    }

    /// The ends that a first use set, as they are stored: the activity signed them.
    fn ends_set_by(&self, activity: &activity::Model, allocations: &[allocation::Model]) -> Vec<(GrantId, Instant)> {
        let used = allocations.iter().filter(|_| activity.kind == Kind::Consume).map(|allocation| allocation.grant_id);
        let first = used.filter(|id| self.tallies.get(id).is_none_or(|tally| tally.first_used_at.is_none()));
        let grants = first.filter_map(|id| self.grants.get(&id)).filter(|grant| chain::ends_from_first_use(grant));
        grants.filter_map(|grant| Some((grant.id, grant.expires_at?))).collect()
    }

    fn tally(&mut self, activity: &activity::Model, allocation: &allocation::Model) {
        if !self.grants.contains_key(&allocation.grant_id) {
            self.find(format!(
                "{} takes from {}, which is not in this wallet",
                allocation.activity_id, allocation.grant_id
            ));
        }
        let tally = self.tallies.entry(allocation.grant_id).or_default();
        if activity.kind == Kind::Consume {
            tally.first_used_at = tally.first_used_at.or(Some(activity.at));
        }
        let (credits, cost) = match activity.kind {
            Kind::Issue => {
                tally.issues += 1;
                (&mut tally.issued, &mut tally.cost)
            }
            Kind::Consume => (&mut tally.consumed, &mut tally.cost_consumed),
            Kind::Expire => (&mut tally.expired, &mut tally.cost_expired),
            Kind::Void => (&mut tally.voided, &mut tally.cost_voided),
        };
        *credits += allocation.amount;
        *cost += allocation.cost;
    }

    /// Holds what was added up against what is stored.
    fn end(&mut self) {
        let row = self.row;
        if row.sequence != self.sequence {
            self.find(format!(
                "the wallet counts {} activities, the last one is number {}",
                row.sequence, self.sequence
            ));
        }
        if row.newest_at != self.newest_at {
            let what =
                format!("the wallet's newest activity is dated {}, the last one {}", row.newest_at, self.newest_at);
            self.find(what);
        }
        if row.hash != self.hash {
            self.find(
                "the wallet's head is not the hash of its last activity: the end was cut off or altered".to_owned(),
            );
        }
        let sum = |of: fn(&Tally) -> Credits| self.tallies.values().map(of).sum::<Credits>();
        let (issued, consumed, expired) = (sum(|t| t.issued), sum(|t| t.consumed), sum(|t| t.expired));
        let voided = sum(|t| t.voided);
        let figures = [
            ("balance", row.balance, self.balance),
            ("issued", row.issued, issued),
            ("consumed", row.consumed, consumed),
            ("expired", row.expired, expired),
            ("held", row.held, Credits::ZERO),
            ("voided", row.voided, voided),
            ("transferred", row.transferred, Credits::ZERO),
        ];
        for (name, stored, counted) in figures.into_iter().filter(|(_, stored, counted)| stored != counted) {
            self.find(format!("the wallet's {name} is {stored}, its activities add up to {counted}"));
        }
        let named = self.tallies.keys().copied().collect::<HashSet<_>>();
        for id in self.grants.keys().filter(|id| !named.contains(id)).copied().collect::<Vec<_>>() {
            self.find(format!("no activity issued {id}"));
        }
        for (id, tally) in self.tallies.clone() {
            if let Some(grant) = self.grants.get(&id) {
                self.compare(grant, &tally);
            }
        }
    }

    fn compare(&mut self, grant: &credit_grant::Model, tally: &Tally) {
        let id = grant.id;
        if tally.issues != 1 {
            self.find(format!("{id} was issued {} times", tally.issues));
        }
        if grant.first_used_at != tally.first_used_at {
            self.find(format!("{id} was first used at another time than its activities say"));
        }
        if chain::ends_from_first_use(grant) && grant.first_used_at.is_none() && grant.expires_at.is_some() {
            self.find(format!("{id} has an end, and was not used yet"));
        }
        let credits = [
            ("amount", grant.amount, tally.issued),
            ("remaining", grant.remaining, tally.issued - tally.consumed - tally.expired - tally.voided),
            ("consumed", grant.consumed, tally.consumed),
            ("expired", grant.expired, tally.expired),
            ("held", grant.held, Credits::ZERO),
            ("voided", grant.voided, tally.voided),
            ("transferred", grant.transferred, Credits::ZERO),
        ];
        for (name, stored, counted) in credits.into_iter().filter(|(_, stored, counted)| stored != counted) {
            self.find(format!("{id} has {name} {stored}, its activities add up to {counted}"));
        }
        let money = [
            ("cost", grant.cost, tally.cost),
            ("cost left", grant.cost_left, tally.cost - tally.cost_consumed - tally.cost_expired - tally.cost_voided),
            ("cost consumed", grant.cost_consumed, tally.cost_consumed),
            ("cost expired", grant.cost_expired, tally.cost_expired),
            ("cost voided", grant.cost_voided, tally.cost_voided),
        ];
        for (name, stored, counted) in money.into_iter().filter(|(_, stored, counted)| stored != counted) {
            self.find(format!("{id} has {name} {stored}, its activities add up to {counted}"));
        }
    }
}
