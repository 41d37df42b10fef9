//! The pure core of the ledger, without a database: `cargo bench -p scrip-bench`.

use std::hint::black_box;

use chrono::TimeDelta;
use chrono_tz::Tz;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ledger::activity::{ActorKind, Kind, Source};
use ledger::chain::{ChainKey, GENESIS, Record};
use ledger::draw::draw;
use ledger::state::{Entry, Wallet};
use ledger::time::Instant;
use ledger::{
    AccountId, Activity, ActivityId, Allocation, CreditTypeId, Credits, CustomerId, ExpirationKind, Grant, GrantId,
    Minor, PeriodUnit, Totals, expiration,
};
use uuid::Uuid;

fn start() -> Instant {
    "2026-03-01T09:00:00Z".parse().expect("an instant")
}

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
const CUSTOMER: CustomerId = CustomerId(Uuid::from_u128(2));
const TYPE: CreditTypeId = CreditTypeId(Uuid::from_u128(3));

/// Ten credits that end so many days from the start.
fn grant(number: u128) -> Grant {
    let days = i64::try_from(1 + number * 7_919 % 3_000).expect("few");
    let id = GrantId(Uuid::from_u128(1_000 + number));
    Grant {
        promotional: false,
        expires_at: Some(start() + TimeDelta::days(days)),
        expiration: ExpirationKind::At,
        time_zone: "Europe/Zurich".to_owned(),
        cost: Minor(1_000),
        cost_left: Minor(1_000),
        currency: "CHF".to_owned(),
        ..Grant::of(ACCOUNT, id, (CUSTOMER, TYPE), Credits(10), start())
    }
}

fn wallet(grants: u128) -> Wallet {
    Wallet::new(Totals::empty(ACCOUNT, (CUSTOMER, TYPE)), (0..grants).map(grant).collect(), Vec::new())
}

fn wallets(c: &mut Criterion) {
    let mut group = c.benchmark_group("a wallet with so many open grants");
    for grants in [1, 100, 10_000] {
        let full = wallet(grants);
        group.bench_with_input(BenchmarkId::new("draw 5 credits", grants), &full, |b, full| {
            b.iter(|| draw(black_box(full), Credits(5), start()).expect("enough"));
        });
        group.bench_with_input(BenchmarkId::new("put in burn order", grants), &grants, |b, grants| {
            let rows = (0..*grants).map(grant).collect::<Vec<_>>();
            b.iter_batched(
                || rows.clone(),
                |rows| Wallet::new(Totals::empty(ACCOUNT, (CUSTOMER, TYPE)), rows, Vec::new()),
                BatchSize::LargeInput,
            );
        });
        group.bench_with_input(BenchmarkId::new("use 5 credits", grants), &full, |b, full| {
            let entry = Entry::new(Kind::Consume, start(), draw(full, Credits(5), start()).expect("enough"));
            b.iter_batched_ref(|| full.clone(), |wallet| wallet.apply(&entry), BatchSize::LargeInput);
        });
        group.bench_with_input(BenchmarkId::new("write off what ended in a year", grants), &full, |b, full| {
            let later = start() + TimeDelta::days(365);
            b.iter_batched_ref(|| full.clone(), |wallet| wallet.settle(later), BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn chain(c: &mut Criterion) {
    let key = ChainKey::new(b"a ledger key for measuring, 32 bytes");
    let activity = Activity {
        account_id: ACCOUNT,
        id: ActivityId(Uuid::from_u128(9)),
        customer_id: CUSTOMER,
        credit_type_id: TYPE,
        sequence: 7,
        kind: Kind::Consume,
        amount: Credits(-1),
        held_amount: Credits::ZERO,
        balance_before: Credits(10),
        balance_after: Credits(9),
        actor_kind: ActorKind::Staff,
        actor: "bench".to_owned(),
        source: Source::Manual,
        reference: None,
        reason: None,
        note: None,
        internal_note: None,
        note_salt: None,
        note_digest: None,
        hold_id: None,
        reverses_id: None,
        at: start(),
        hash: Vec::new(),
    };
    let allocation = Allocation {
        account_id: ACCOUNT,
        activity_id: activity.id,
        position: 0,
        grant_id: GrantId(Uuid::from_u128(1_000)),
        amount: Credits(1),
        cost: Minor(100),
        ends_before: None,
        ends_after: None,
        leaves_open: false,
        cost_from: None,
        cost_to: None,
        refunded: false,
        allowance: None,
    };
    c.bench_function("sign an activity", |b| {
        let allocations = std::slice::from_ref(&allocation);
        let record = Record { activity: &activity, allocations, issued: &[], opened: None };
        b.iter(|| key.sign(black_box(&GENESIS), &record));
    });
    c.bench_function("six months later, in Zurich", |b| {
        b.iter(|| expiration::plus(black_box(start()), 6, PeriodUnit::Month, Tz::Europe__Zurich));
    });
}

criterion_group!(benches, wallets, chain);
criterion_main!(benches);
