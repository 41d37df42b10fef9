//! Wallets with many open grants, of which a part is read: what it decides is what the whole would. The whole is what
//! `balanceExplanation` makes of the records.

use std::time::Duration;

use chrono::TimeDelta;
use entity::{CreditTypeId, Credits, CustomerId, Expiration, GrantId};
use futures_util::future::{BoxFuture, join_all};
use scrip::domain::credits;
use scrip::domain::ground::error::Code;
use scrip::domain::ledger::explanation::{Explanation, explain};
use scrip::domain::ledger::{Command, Consume, Issue, Place, Transfer, Words, balances};
use scrip::domain::{Caller, Error, Role, Scope};
use scrip::worker;
use serde_json::json;

use crate::harness::{Backend, House};
use crate::on_both;

/// A number that looks random and is the same each time.
fn dice(seed: &mut u64, sides: i64) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    i64::try_from((*seed >> 33) % u64::try_from(sides).expect("sides")).expect("few")
}

async fn whole(staff: &Caller, (customer, credit_type): (CustomerId, CreditTypeId)) -> Explanation {
    let view = staff.view(Scope::StaffRead).await.expect("a view");
    explain(&view, customer, credit_type, view.now()).await.expect("an explanation")
}

/// What is used of which grants, if so many credits are: in burn order.
fn first(whole: &Explanation, amount: i64) -> Vec<(GrantId, Credits)> {
    let mut missing = Credits(amount);
    let mut draws = Vec::new();
    for explained in whole.grants.iter().filter(|explained| explained.place.is_ok()) {
        let part = explained.grant.remaining.min(missing);
        missing -= part;
        if !part.is_zero() {
            draws.push((explained.grant.id, part));
        }
    }
    draws
}

/// The balance, as it is read, beside what all grants add up to.
async fn compare(staff: &Caller, wallet: (CustomerId, CreditTypeId)) {
    let whole = whole(staff, wallet).await;
    let view = staff.view(Scope::StaffRead).await.expect("a view");
    let read = balances::wallets(&view, &[wallet.0]).await.expect("wallets").remove(&wallet.0).expect("the customer");
    let balance = balances::balance(read.into_iter().next().expect("a wallet"), view.now());
    assert_eq!((balance.available, balance.held), (whole.available, whole.held));
    assert_eq!(balance.not_yet_effective, whole.not_yet_effective);
    let open = || whole.grants.iter().map(|explained| &explained.grant).filter(|grant| grant.open);
    let end = open().filter_map(|grant| grant.expires_at).min();
    let ending = |end| open().filter(|grant| grant.expires_at == Some(end)).map(|grant| grant.remaining).sum();
    assert_eq!(balance.next_expiry, end.map(|end| (end, ending(end))));
}

fn issue((customer, credit_type): (CustomerId, CreditTypeId), amount: i64) -> Issue {
    let (effective_at, expiration, priority, cost, metadata) = (None, None, None, None, None);
    let amount = Credits(amount);
    Issue {
        customer,
        credit_type,
        amount,
        effective_at,
        expiration,
        priority,
        cost,
        metadata,
        period: None,
        cap: None,
        words: Words::default(),
    }
}

/// Whoever wants to change a wallet waits, until what this answers is awaited.
async fn locked(house: &House) -> BoxFuture<'static, ()> {
    match house.backend {
        Backend::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
            let lock = pool.begin_with("BEGIN IMMEDIATE").await.expect("the lock");
            Box::pin(async move { lock.rollback().await.expect("an end") })
        }
        Backend::Postgres => {
            let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
            let mut lock = pool.begin().await.expect("a transaction");
            sqlx::query("SELECT 1 FROM wallet FOR UPDATE").execute(&mut *lock).await.expect("the lock");
            Box::pin(async move { lock.rollback().await.expect("an end") })
        }
    }
}

on_both! {
    /// Consumes, holds and transfers take what the whole wallet's burn order says, through ends and lapses, with several
    /// priorities, credits that count later, and ends that many grants share.
    async fn a_part_decides_as_the_whole(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await.parse().expect("an id");
        let other = house.customer("Grace").await.parse().expect("an id");
        let (staff, wallet, begin) = (house.staff(), (customer, credit_type), house.now());
        let (seed, mut key) = (&mut 7, 0);
        let mut refused = 0;
        for round in 0..80_i32 {
            let now = begin + TimeDelta::hours(5 * i64::from(round));
            house.clock.set(now);
            for _ in 0..dice(seed, 6) {
                let mut new = issue(wallet, 1 + dice(seed, 4));
                new.priority = Some([50, 50, 50, 10, 90][usize::try_from(dice(seed, 5)).expect("few")]);
                if dice(seed, 3) > 0 {
                    let days = 1 + dice(seed, 20);
                    new.expiration = Some(Expiration::At(begin + TimeDelta::days(20 + days)));
                }
                if dice(seed, 12) == 0 {
                    new.effective_at = Some(now + TimeDelta::hours(1 + dice(seed, 30)));
                }
                key += 1;
                credits::issue(&staff, new, &format!("issue-{key}")).await.expect("an issue");
            }
            compare(&staff, wallet).await;
            let before = whole(&staff, wallet).await;
            let amount = 1 + dice(seed, if round % 7 == 0 { 40 } else { 6 });
            let (amount, words) = (Credits(amount), Words::default());
            let command = match dice(seed, 5) {
                0 => Command::Place(Place { customer, credit_type, amount, expires_at: now + TimeDelta::hours(7), words }),
                1 => Command::Transfer(Transfer { from: customer, to: other, credit_type, amount, words }),
                _ => Command::Consume(Consume { customer, credit_type, amount, words }),
            };
            match credits::submit(&staff, command, &format!("use-{round}")).await {
                Ok(outcome) => {
                    let drawn = outcome.activities[0].1.iter().map(|part| (part.grant_id, part.amount));
                    assert_eq!(drawn.collect::<Vec<_>>(), first(&before, amount.0), "round {round}");
                }
                Err(Error::Refused(refusal)) => {
                    assert_eq!(refusal.code(), Code::InsufficientCredits);
                    assert!(before.available < amount, "round {round}: {refusal:?}");
                    refused += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
            compare(&staff, wallet).await;
        }
        assert!(refused > 0, "some asked for more than there was");
        house.assert_verified().await;
    }

    /// Many at once take together what one would take of the whole.
    async fn many_at_once_take_a_part_together(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await.parse().expect("an id");
        let (staff, wallet) = (house.staff(), (customer, credit_type));
        for n in 0..60_i64 {
            let mut new = issue(wallet, 1 + n % 3);
            new.expiration = (n % 4 > 0).then(|| Expiration::At(house.now() + TimeDelta::days(100 - n)));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        let before = whole(&staff, wallet).await;
        assert_eq!(before.available, Credits(120));
        let consume = |n: i64| {
            let consume = Consume { customer, credit_type, amount: Credits(1 + n % 5), words: Words::default() };
            let (staff, key) = (staff.clone(), format!("use-{n}"));
            async move { credits::consume(&staff, consume, &key).await }
        };
        let outcomes = join_all((0..45).map(consume)).await;
        let mut drawn = std::collections::BTreeMap::new();
        let mut total = 0;
        for outcome in outcomes.into_iter().flatten() {
            for part in &outcome.activities[0].1 {
                *drawn.entry(part.grant_id).or_insert(Credits::ZERO) += part.amount;
                total += part.amount.0;
            }
        }
        assert!(total > 110, "{total}: 135 were asked for, of 120");
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), {
            let mut expected = first(&before, total);
            expected.sort_unstable();
            expected
        });
        compare(&staff, wallet).await;
        house.assert_verified().await;
    }

    /// Several such wallets in one commit, and in one read.
    async fn many_such_wallets_at_once(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let mut customers = Vec::new();
        for n in 1..=6_i64 {
            let customer = house.customer(&format!("Customer {n}")).await.parse().expect("an id");
            customers.push(customer);
            for grant in 0..3 + 2 * n {
                let mut new = issue((customer, credit_type), n);
                new.expiration = (grant % 3 > 0).then(|| Expiration::At(house.now() + TimeDelta::days(50 - grant)));
                credits::issue(&house.staff(), new, &format!("issue-{n}-{grant}")).await.expect("an issue");
            }
        }
        let staff = house.staff();
        let mut before = Vec::new();
        for customer in &customers {
            before.push(whole(&staff, (*customer, credit_type)).await);
        }
        let consume = |customer: CustomerId| {
            let consume = Consume { customer, credit_type, amount: Credits(5), words: Words::default() };
            let (staff, key) = (staff.clone(), format!("use-{customer}"));
            async move { credits::consume(&staff, consume, &key).await.expect("there are credits enough") }
        };
        let outcomes = join_all(customers.iter().map(|customer| consume(*customer))).await;
        for (outcome, before) in outcomes.iter().zip(&before) {
            let drawn = outcome.activities[0].1.iter().map(|part| (part.grant_id, part.amount));
            assert_eq!(drawn.collect::<Vec<_>>(), first(before, 5));
        }
        let view = staff.view(Scope::StaffRead).await.expect("a view");
        let read = balances::wallets(&view, &customers).await.expect("wallets");
        for customer in &customers {
            let wallet = read[customer].first().expect("a wallet").clone();
            let balance = balances::balance(wallet, view.now());
            assert_eq!(balance.available, whole(&staff, (*customer, credit_type)).await.available);
        }
        drop(view);
        for customer in customers {
            compare(&staff, (customer, credit_type)).await;
        }
        house.assert_verified().await;
    }

    /// A command is decided by the time at which it has its wallet, and by no earlier one that its part was read by.
    async fn what_ends_while_a_command_waits_is_not_used(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await.parse().expect("an id");
        let (staff, begin) = (house.staff(), house.now());
        for n in 0..10_i64 {
            let mut new = issue((customer, credit_type), 1);
            new.expiration = (n < 6).then(|| Expiration::At(begin + TimeDelta::hours(1)));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        let release = locked(&house).await;
        let consume = |amount| Consume { customer, credit_type, amount: Credits(amount), words: Words::default() };
        let waiting = tokio::spawn({
            let (staff, consume) = (staff.clone(), consume(5));
            async move { credits::consume(&staff, consume, "waits").await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        house.clock.set(begin + TimeDelta::hours(2));
        release.await;
        let refused = waiting.await.expect("it ends");
        let code = refused.as_ref().err().and_then(|error| if let Error::Refused(why) = error { Some(why.code()) } else { None });
        assert_eq!(code, Some(Code::InsufficientCredits), "{refused:?}");
        credits::consume(&staff, consume(4), "the rest").await.expect("what does not end");
        compare(&staff, (customer, credit_type)).await;
        house.assert_verified().await;
    }

    /// Each end is told of before, once, and written when it comes, however many grants a wallet has.
    async fn every_end_is_told_of_and_written(house: House) {
        let input = json!({ "name": "Class", "expiryNoticeDays": [3], "lowBalanceAt": 4, "expiration": { "never": true } });
        let made = house.mutate("creditTypeCreate", "creditType { id }", input).await;
        let credit_type = made["creditType"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).parse().expect("an id");
        let customer = house.customer("Ada").await;
        let (staff, wallet, begin) = (house.staff(), (customer.parse().expect("an id"), credit_type), house.now());
        for n in 0..30_i64 {
            let mut new = issue(wallet, 1);
            new.expiration = Some(Expiration::At(begin + TimeDelta::days(10 + n)));
            new.priority = Some(if n % 3 == 0 { 10 } else { 50 });
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        for day in 1..=45 {
            house.clock.set(begin + TimeDelta::days(day));
            while worker::round(&house.app).await.expect("a round") > 0 {}
        }
        let query = "query($id: ID) { soon: events(name: \"credits.expiring_soon\", customerId: $id, first: 100) { nodes { at } }
            low: events(name: \"balance.low\", customerId: $id) { nodes { at payload } } }";
        let told = house.data(query, json!({ "id": customer })).await;
        let count = |name: &str| told[name]["nodes"].as_array().expect("events").len();
        assert_eq!((count("soon"), count("low")), (30, 1), "{told}");
        let history = house.history(&customer).await;
        assert_eq!(history.iter().filter(|(kind, ..)| kind == "EXPIRE").count(), 30, "{history:?}");
        house.assert_verified().await;
    }

    /// The customer sees what staff sees, and a forecast looks at every grant.
    async fn a_customer_sees_its_own(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await;
        let (staff, wallet) = (house.staff(), (customer.parse().expect("an id"), credit_type));
        for n in 0..12_i64 {
            let mut new = issue(wallet, 2);
            new.expiration = Some(Expiration::At(house.now() + TimeDelta::days(100 + n / 2)));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        let query = "query($id: ID!) { customer(by: { id: $id }) {
            balances { available nextExpiry { amount } } expiryForecast(days: 366) { amount } } }";
        for role in [Role::Staff, Role::Customer(wallet.0)] {
            let answer = house.ask(role, query, json!({ "id": customer })).await;
            let seen = &answer["data"]["customer"];
            assert_eq!(seen["balances"], json!([{ "available": 24, "nextExpiry": { "amount": 4 } }]), "{answer}");
            assert_eq!(seen["expiryForecast"], json!([{ "amount": 4 }, { "amount": 4 }, { "amount": 4 }, { "amount": 4 }, { "amount": 4 }, { "amount": 4 }]));
        }
    }

    /// What is wholly held ends sooner, and is not what ends next.
    async fn what_is_held_does_not_hide_what_ends(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await.parse().expect("an id");
        let (staff, wallet) = (house.staff(), (customer, credit_type));
        for n in 0..10_i64 {
            let mut new = issue(wallet, 1);
            new.expiration = Some(Expiration::At(house.now() + TimeDelta::days(if n == 0 { 10 } else { 30 })));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        let (amount, expires_at, words) = (Credits(1), house.now() + TimeDelta::days(2), Words::default());
        let place = Command::Place(Place { customer, credit_type, amount, expires_at, words });
        credits::submit(&staff, place, "hold").await.expect("a hold");
        compare(&staff, wallet).await;
    }

    /// A wallet that gives is read by the time of the one that receives, where that is ahead.
    async fn a_transfer_is_decided_by_the_later_wallet(house: House) {
        let credit_type = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let customer = house.customer("Ada").await.parse().expect("an id");
        let other = house.customer("Grace").await.parse().expect("an id");
        let (staff, begin) = (house.staff(), house.now());
        for n in 0..8_i64 {
            let mut new = issue((customer, credit_type), 1);
            new.expiration = (n < 3).then(|| Expiration::At(begin + TimeDelta::hours(1)));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        house.clock.set(begin + TimeDelta::days(40));
        credits::issue(&staff, issue((other, credit_type), 1), "ahead").await.expect("an issue");
        house.clock.set(begin);
        let (amount, words) = (Credits(4), Words::default());
        let transfer = Command::Transfer(Transfer { from: customer, to: other, credit_type, amount, words });
        credits::preview(&staff, transfer.clone()).await.expect("a preview");
        let given = credits::submit(&staff, transfer, "transfer").await.expect("a transfer");
        assert_eq!(given.activities.len(), 2, "{given:?}");
        assert_eq!(house.history(&customer.to_string()).await.iter().filter(|(kind, ..)| kind == "EXPIRE").count(), 3);
        house.clock.set(begin + TimeDelta::days(40));
        compare(&staff, (other, credit_type)).await;
        house.assert_verified().await;
    }

    /// What ends, or is told of, a little sooner than all that was not read, is so in time.
    async fn what_comes_sooner_than_the_rest_is_written_in_time(house: House) {
        let input = json!({ "name": "Class", "expiryNoticeDays": [1], "expiration": { "never": true } });
        let made = house.mutate("creditTypeCreate", "creditType { id }", input).await;
        let credit_type = made["creditType"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).parse().expect("an id");
        let customer = house.customer("Ada").await;
        let (staff, wallet, begin) = (house.staff(), (customer.parse().expect("an id"), credit_type), house.now());
        let end = begin + TimeDelta::days(60);
        for n in 0..10_i64 {
            let mut new = issue(wallet, 1);
            new.expiration = Some(Expiration::At(end));
            credits::issue(&staff, new, &format!("issue-{n}")).await.expect("an issue");
        }
        let mut new = issue(wallet, 1);
        new.expiration = Some(Expiration::At(end - TimeDelta::hours(25)));
        credits::issue(&staff, new, "sooner").await.expect("an issue");
        house.clock.set(end - TimeDelta::hours(48));
        while worker::round(&house.app).await.expect("a round") > 0 {}
        let query = "query($id: ID) { events(name: \"credits.expiring_soon\", customerId: $id) { nodes { at } } }";
        let told = house.data(query, json!({ "id": customer })).await;
        assert_eq!(told["events"]["nodes"].as_array().map(Vec::len), Some(1), "{told}");
        house.clock.set(end - TimeDelta::hours(25));
        while worker::round(&house.app).await.expect("a round") > 0 {}
        assert_eq!(house.history(&customer).await.iter().filter(|(kind, ..)| kind == "EXPIRE").count(), 1);
    }
}
