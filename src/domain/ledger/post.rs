//! The only file that changes balances: lock, load, decide each, write.
//!
//! A set of commands of one account becomes one set of rows: what is read is read a set at a time, what is written is
//! written with multi-row statements, and in between each command is decided alone, so that one that is refused leaves
//! its neighbours as they are.

use std::collections::{BTreeSet, HashMap};

use entity::activity::{ActorKind, Source};
use entity::{AccountId, ActivityId, Credits, GrantId, Owned, account, activity, allocation, credit_grant, wallet};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn,
    QueryFilter, QueryOrder,
};

use super::chain;
use super::command::{Command, Outcome, Preview, Words};
use super::decide::{Circumstances, decide};
use super::load::{self, Loaded};
use super::requests::{self, Known, Recorded, RequestKey};
use super::state::{Entry, Wallet};
use crate::domain::clock::{Instant, fresh_id, fresh_salt};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::store::Store;
use crate::domain::tx::{self, View};

/// Rows per statement: the widest table has 35 columns, and SQLite binds at most 32,766 values.
const ROWS: usize = 900;

/// One command, who asked for it, and under which key.
pub struct Job {
    pub account: AccountId,
    pub key: RequestKey,
    pub fingerprint: Vec<u8>,
    pub actor: (ActorKind, String),
    pub command: Command,
}

/// What a set of jobs is posted on.
pub struct Ground<'a> {
    pub txn: &'a DatabaseTransaction,
    pub account: &'a account::Model,
    pub store: &'a Store,
}

/// Why a set could not be posted.
pub enum Failure {
    /// Another transaction wrote one of the keys first: run again, and it is found.
    Twin,
    Database(DbErr),
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Posts jobs of one account, in order. Nothing of it lasts until the caller commits.
pub async fn post(ground: &Ground<'_>, jobs: &[&Job]) -> Result<Vec<Result<Outcome>>, Failure> {
    let keys = jobs.iter().map(|job| job.command.wallet()).collect::<BTreeSet<_>>();
    let issues = jobs.iter().filter(|job| matches!(job.command, Command::Issue(_)));
    let issued_to = issues.map(|job| job.command.wallet()).collect::<BTreeSet<_>>();
    let mut loaded = load::lock(ground.txn, ground.account.id, &keys, &issued_to).await?;
    // The time is read after the locks: whoever waited for one decides by the time at which it got it.
    let (server_clock, clock) = (ground.store.clock.now(), tx::account_now(ground.account, ground.store));
    let wanted = jobs.iter().map(|job| job.key.clone());
    let mut known = requests::load(ground.txn, ground.account.id, wanted, server_clock).await?;

    let mut written = Written::default();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some(known) = known.get(&job.key) {
            answers.push(replay(known, job));
            continue;
        }
        match run(ground, clock, &mut loaded, &mut written, job) {
            Ok(activities) => {
                let recorded = Recorded::Done(activities.iter().map(|(activity, _)| activity.id).collect());
                known.insert(job.key.clone(), Known { fingerprint: job.fingerprint.clone(), recorded, fresh: true });
                answers.push(Answer::Done(activities));
            }
            Err(refusal) => {
                if refusal.is_recorded() {
                    let recorded = Recorded::Refused(refusal.clone());
                    known
                        .insert(job.key.clone(), Known { fingerprint: job.fingerprint.clone(), recorded, fresh: true });
                }
                answers.push(Answer::Refused(refusal));
            }
        }
    }
    write(ground, &loaded, written).await?;
    if !requests::record(ground.txn, ground.account.id, &known, server_clock).await? {
        return Err(Failure::Twin);
    }
    Ok(finish(ground, answers).await?)
}

/// What a command would do to what a snapshot shows.
pub async fn preview(view: &View, command: &Command) -> Result<Preview> {
    let key = command.wallet();
    let keys = BTreeSet::from([key]);
    let found = load::in_wallets(view.rows::<wallet::Entity>(), &keys).all(view.db()).await?;
    let types = load::types(view.db(), view.account().id, &keys).await?;
    let customers = load::customers(view.db(), view.account().id, &keys).await?;
    let credit_type = load::existing(key, &customers, &types)?;
    let grants = load::grants(view.db(), view.account().id, &keys).await?;
    let row = found.into_iter().next().unwrap_or_else(|| load::empty(view.account().id, key));
    let mut wallet = Wallet::new(row, grants);
    let at = wallet.instant(view.now());
    wallet.settle(at);
    let around = Circumstances { account: view.account(), credit_type, grant: GrantId(fresh_id()), at };
    let entry = decide(&wallet, command, &around)?;
    wallet.touched.clear();
    wallet.apply(&entry);
    Ok(describe(&wallet, &entry))
}

fn describe(wallet: &Wallet, entry: &Entry) -> Preview {
    let mut left = wallet.clone();
    left.grants.retain(|grant| wallet.touched.contains(&grant.id));
    let mut cost = std::collections::BTreeMap::new();
    for draw in &entry.draws {
        let grant = left.grants.iter().find(|grant| grant.id == draw.grant).expect("an entry touches what it draws");
        *cost.entry(grant.currency.clone()).or_default() += draw.cost;
    }
    let draws = entry.draws.iter().filter(|_| entry.issued.is_none());
    Preview {
        draws: draws.map(|draw| (draw.grant, draw.amount)).collect(),
        balance_after: wallet.row.balance,
        would_expire: left.expiries(),
        cost: cost.into_iter().collect(),
    }
}

/// The rows to write.
#[derive(Default)]
struct Written {
    activities: Vec<activity::Model>,
    allocations: Vec<allocation::Model>,
}

type Posted = Vec<(activity::Model, Vec<allocation::Model>)>;

enum Answer {
    Done(Posted),
    Replayed(Vec<ActivityId>),
    Refused(Refusal),
    RefusedBefore(Refusal),
}

fn replay(known: &Known, job: &Job) -> Answer {
    if known.fingerprint != job.fingerprint {
        return Answer::Refused(Refusal::IdempotencyKeyReused);
    }
    match &known.recorded {
        Recorded::Done(activities) => Answer::Replayed(activities.clone()),
        Recorded::Refused(refusal) => Answer::RefusedBefore(refusal.clone()),
    }
}

/// Settles the command's wallet, decides the command, and makes the rows of both.
fn run(
    ground: &Ground<'_>,
    clock: Instant,
    loaded: &mut Loaded,
    written: &mut Written,
    job: &Job,
) -> Result<Posted, Refusal> {
    let key = job.command.wallet();
    let credit_type = load::existing(key, &loaded.customers, &loaded.types)?;
    let mut none = Wallet::new(load::empty(ground.account.id, key), Vec::new());
    let wallet = loaded.wallets.get_mut(&key).unwrap_or(&mut none);
    let at = wallet.instant(clock);
    settle(ground, wallet, written, at);
    let around = Circumstances { account: ground.account, credit_type, grant: GrantId(fresh_id()), at };
    let entry = decide(wallet, &job.command, &around)?;
    let posted = record(ground, wallet, &entry, &Told::by(job));
    wallet.apply(&entry);
    wallet.row.hash.clone_from(&posted.0.hash);
    written.activities.push(posted.0.clone());
    written.allocations.extend(posted.1.iter().cloned());
    Ok(vec![posted])
}

/// Writes down what time has already done.
fn settle(ground: &Ground<'_>, wallet: &mut Wallet, written: &mut Written, at: Instant) {
    let nothing = Words::default();
    let mut before = wallet.row.clone();
    for entry in wallet.settle(at) {
        let settled = Wallet { row: before, grants: Vec::new(), touched: BTreeSet::new() };
        let (activity, allocations) = record(ground, &settled, &entry, &Told::by_time(&nothing));
        before = wallet::Model {
            sequence: activity.sequence,
            hash: activity.hash.clone(),
            balance: activity.balance_after,
            ..settled.row
        };
        wallet.row.hash.clone_from(&activity.hash);
        written.activities.push(activity);
        written.allocations.extend(allocations);
    }
}

/// Who did it, what led to it, and what was said about it.
struct Told<'a> {
    actor: (ActorKind, &'a str),
    source: Source,
    words: &'a Words,
    reason: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn by(job: &'a Job) -> Self {
        let actor = (job.actor.0, job.actor.1.as_str());
        Self { actor, source: Source::Manual, words: job.command.words(), reason: job.command.reason() }
    }

    fn by_time(nothing: &'a Words) -> Self {
        Self { actor: (ActorKind::System, ""), source: Source::Clock, words: nothing, reason: None }
    }
}

/// The rows of an entry that comes next in its wallet.
fn record(
    ground: &Ground<'_>,
    wallet: &Wallet,
    entry: &Entry,
    told: &Told<'_>,
) -> (activity::Model, Vec<allocation::Model>) {
    let (row, words) = (&wallet.row, told.words);
    let id = ActivityId(fresh_id());
    let salt = (words.note.is_some() || words.internal_note.is_some()).then(fresh_salt);
    let digest =
        salt.as_ref().map(|salt| chain::note_digest(salt, words.note.as_deref(), words.internal_note.as_deref()));
    let mut activity = activity::Model {
        account_id: row.account_id,
        id,
        customer_id: row.customer_id,
        credit_type_id: row.credit_type_id,
        sequence: row.sequence + 1,
        kind: entry.kind,
        amount: entry.amount(),
        held_amount: Credits::ZERO,
        balance_before: row.balance,
        balance_after: row.balance + entry.amount(),
        actor_kind: told.actor.0,
        actor: told.actor.1.to_owned(),
        source: told.source,
        reference: words.reference.clone(),
        reason: told.reason.map(str::to_owned),
        note: words.note.clone(),
        internal_note: words.internal_note.clone(),
        note_salt: salt,
        note_digest: digest,
        at: entry.at,
        hash: Vec::new(),
    };
    let allocations = entry
        .draws
        .iter()
        .zip(0..)
        .map(|(draw, position)| allocation::Model {
            account_id: row.account_id,
            activity_id: id,
            position,
            grant_id: draw.grant,
            amount: draw.amount,
            cost: draw.cost,
        })
        .collect::<Vec<_>>();
    let ends = wallet.ends_set_by(entry);
    activity.hash = ground.store.key.sign(&row.hash, &activity, &allocations, entry.issued.as_deref(), &ends);
    (activity, allocations)
}

/// Writes what changed: parents before children.
async fn write(ground: &Ground<'_>, loaded: &Loaded, written: Written) -> Result<(), DbErr> {
    let mut wallets = Vec::new();
    let mut grants = Vec::new();
    for wallet in loaded.wallets.values().filter(|wallet| !wallet.touched.is_empty()) {
        wallets.push(wallet.row.clone());
        grants.extend(wallet.grants.iter().filter(|grant| wallet.touched.contains(&grant.id)).cloned());
    }
    wallets.sort_by_key(|row| (row.customer_id, row.credit_type_id));
    grants.sort_by_key(|grant| grant.id);
    for rows in wallets.chunks(ROWS) {
        wallet::Entity::insert_many(rows.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(overwrite::<wallet::Entity>())
            .exec_without_returning(ground.txn)
            .await?;
    }
    for rows in grants.chunks(ROWS) {
        credit_grant::Entity::insert_many(rows.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(overwrite::<credit_grant::Entity>())
            .exec_without_returning(ground.txn)
            .await?;
    }
    for rows in written.activities.chunks(ROWS) {
        activity::Entity::insert_many(rows.iter().cloned().map(IntoActiveModel::into_active_model))
            .exec_without_returning(ground.txn)
            .await?;
    }
    for rows in written.allocations.chunks(ROWS) {
        allocation::Entity::insert_many(rows.iter().cloned().map(IntoActiveModel::into_active_model))
            .exec_without_returning(ground.txn)
            .await?;
    }
    Ok(())
}

/// Full rows over those with the same key: SeaORM has no multi-row UPDATE.
fn overwrite<E: EntityTrait>() -> OnConflict {
    let key = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect::<Vec<_>>();
    let is_key = |column: &E::Column| key.iter().any(|key| key.as_str() == column.as_str());
    OnConflict::columns(key.iter().copied()).update_columns(E::Column::iter().filter(|c| !is_key(c))).to_owned()
}

/// Brings the activities of replays, a set at a time, and answers each job in order.
async fn finish(ground: &Ground<'_>, answers: Vec<Answer>) -> Result<Vec<Result<Outcome>>, DbErr> {
    let ids = answers
        .iter()
        .filter_map(|answer| if let Answer::Replayed(ids) = answer { Some(ids.iter().copied()) } else { None })
        .flatten()
        .collect::<BTreeSet<_>>();
    let mut first: HashMap<ActivityId, (activity::Model, Vec<allocation::Model>)> = HashMap::new();
    if !ids.is_empty() {
        let rows = activity::Entity::of(ground.account.id).filter(activity::Column::Id.is_in(ids.clone()));
        for row in rows.all(ground.txn).await? {
            first.insert(row.id, (row, Vec::new()));
        }
        let rows = allocation::Entity::of(ground.account.id)
            .filter(allocation::Column::ActivityId.is_in(ids))
            .order_by_asc(allocation::Column::Position);
        for row in rows.all(ground.txn).await? {
            if let Some((_, allocations)) = first.get_mut(&row.activity_id) {
                allocations.push(row);
            }
        }
    }
    Ok(answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Done(activities) => Ok(Outcome { replayed: false, activities }),
            Answer::Replayed(ids) => {
                Ok(Outcome { replayed: true, activities: ids.iter().filter_map(|id| first.get(id).cloned()).collect() })
            }
            Answer::Refused(refusal) => Err(Error::Refused(refusal)),
            Answer::RefusedBefore(refusal) => Err(Error::RefusedBefore(refusal)),
        })
        .collect())
}
