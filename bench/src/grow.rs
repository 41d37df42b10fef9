//! A ledger with millions of activities, written in bulk and signed, so that it verifies like any other.
//!
//! Every wallet begins with one grant and uses one credit of it again and again; all wallets take turns, so that what
//! belongs to one customer lies scattered, as it does after years. One heavy customer has every fifth turn of a small
//! ledger, and of a large one enough for a thousand pages.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use entity::activity::{ActorKind, Kind, Source};
use entity::{ActivityId, Credits, EventId, GrantId, Minor, credit_grant, wallet};
use ledger::chain::{ChainKey, Record};
use ledger::{Activity, Allocation, Grant, Totals};
use scrip::domain::ground::clock::{Clock, SystemClock};
use sea_orm::{DatabaseConnection, EntityTrait, IntoActiveModel};
use uuid::{NoContext, Timestamp, Uuid};

use crate::bulk::{Bulk, Entry};
use crate::house::{Backend, LEDGER_KEY, Place, Purse, furnish, open};
use crate::load::random_key;

/// Credits of each wallet.
const PLENTY: i64 = 1_000_000_000;
/// Activities of the heavy customer: more than a thousand pages of twenty.
const HEAVY: usize = 21_000;
/// Rows of one statement.
const ROWS: usize = 400;

/// A ledger that has grown.
pub struct Grown {
    pub place: Place,
    /// Those with activity; the first is the heavy one's.
    pub purses: Vec<Purse>,
    pub took: Duration,
}

/// A wallet on the way.
struct State {
    wallet: Totals,
    grant: Grant,
}

/// Makes one with so many activities over so many customers.
pub async fn grow(backend: Backend, activities: usize, customers: usize) -> Result<Grown> {
    let began = Instant::now();
    let place = Place::new(backend).await?;
    let app = open(&place.url).await?;
    let mut purses = furnish(&app, &place, 0, customers).await?;
    app.close().await;
    purses.truncate(customers.min(activities / 2));
    let mut bulk = Bulk::open(&place).await?;
    let key = ChainKey::new(LEDGER_KEY.as_bytes());
    let year = TimeDelta::days(365);
    let (first, step) = (SystemClock.now() - year, year / i32::try_from(activities).context("that many?")?);
    let mut states: Vec<State> = Vec::with_capacity(purses.len());
    let mut entries = Vec::with_capacity(ROWS);
    let every = (activities / HEAVY).max(5);
    let mut turn = 0;
    for n in 0..activities {
        let at = first + step * i32::try_from(n)?;
        let number = match n {
            n if n < purses.len() => {
                states.push(begin(&purses[n], n, at));
                n
            }
            n if n % every == 0 => 0,
            _ => {
                turn += 1;
                turn * 7_919 % purses.len()
            }
        };
        entries.push(next(&key, &mut states[number], n, at));
        if entries.len() == ROWS || n + 1 == activities {
            bulk.write(&entries).await?;
            entries.clear();
        }
    }
    bulk.close().await?;
    let connection = place.connect().await?;
    write_states(&connection, states).await?;
    connection.close().await?;
    place.tidy().await?;
    Ok(Grown { place, purses, took: began.elapsed() })
}

/// An id that was made at an instant; those of later numbers sort after it.
fn id(at: DateTime<Utc>, number: usize) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    let made = Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        millis / 1000,
        u32::try_from(millis % 1000 * 1_000_000).unwrap_or_default(),
    ));
    // Within a millisecond the number decides.
    let number = u128::try_from(number % 4096).unwrap_or_default();
    Uuid::from_u128(made.as_u128() & !(0xfff << 64) | number << 64)
}

/// A wallet before its first activity, with the grant that this will make.
fn begin(purse: &Purse, number: usize, at: DateTime<Utc>) -> State {
    let key = (purse.customer, purse.credit_type);
    let wallet =
        Totals { newest_at: at, open_grants: 1, last_begins_at: Some(at), ..Totals::empty(purse.account, key) };
    let grant = Grant {
        currency: "CHF".to_owned(),
        ..Grant::of(purse.account, GrantId(id(at, number)), key, Credits(PLENTY), at)
    };
    State { wallet, grant }
}

/// The next activity of a wallet: its issue, or the use of one credit.
fn next(key: &ChainKey, state: &mut State, number: usize, at: DateTime<Utc>) -> Entry {
    let (wallet, grant) = (&mut state.wallet, &mut state.grant);
    let (kind, amount, total) = match wallet.sequence {
        0 => (Kind::Issue, Credits(PLENTY), Credits(PLENTY)),
        _ => (Kind::Consume, Credits(-1), Credits(1)),
    };
    let mut activity = Activity {
        account_id: wallet.account_id,
        id: ActivityId(id(at, number)),
        customer_id: wallet.customer_id,
        credit_type_id: wallet.credit_type_id,
        sequence: wallet.sequence + 1,
        kind,
        amount,
        held_amount: Credits::ZERO,
        balance_before: wallet.balance,
        balance_after: wallet.balance + amount,
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
        at,
        hash: Vec::new(),
    };
    let allocation = Allocation {
        account_id: wallet.account_id,
        activity_id: activity.id,
        position: 0,
        grant_id: grant.id,
        amount: total,
        cost: Minor::ZERO,
        ends_before: None,
        ends_after: None,
        leaves_open: false,
        cost_from: None,
        cost_to: None,
        refunded: false,
        allowance: None,
    };
    let issued = if kind == Kind::Issue { std::slice::from_ref(&*grant) } else { &[] };
    let record = Record { activity: &activity, allocations: std::slice::from_ref(&allocation), issued, opened: None };
    activity.hash = key.sign(&wallet.hash, &record);
    wallet.hash.clone_from(&activity.hash);
    (wallet.sequence, wallet.newest_at, wallet.balance) = (activity.sequence, at, activity.balance_after);
    if kind == Kind::Issue {
        wallet.issued += total;
    } else {
        wallet.consumed += total;
        grant.consumed += total;
        grant.remaining += amount;
        grant.first_used_at = grant.first_used_at.or(Some(at));
    }
    Entry {
        activity: activity.into(),
        allocation: allocation.into(),
        event: EventId(id(at, number)),
        key: random_key(),
    }
}

async fn write_states(connection: &DatabaseConnection, states: Vec<State>) -> Result<()> {
    let mut states = states.into_iter().peekable();
    while states.peek().is_some() {
        let (wallets, grants): (Vec<_>, Vec<_>) = states
            .by_ref()
            .take(ROWS)
            .map(|state| {
                let (wallet, grant) = (wallet::Model::from(state.wallet), credit_grant::Model::from(state.grant));
                (wallet.into_active_model(), grant.into_active_model())
            })
            .unzip();
        wallet::Entity::insert_many(wallets).exec_without_returning(connection).await?;
        credit_grant::Entity::insert_many(grants).exec_without_returning(connection).await?;
    }
    Ok(())
}
