//! Thirty-two clients at once, a fifth of their keys repeated and a tenth with other arguments.

use std::collections::HashMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scrip::domain::credits;
use scrip::domain::ground::error::Code;
use scrip::domain::ledger::{Command, Consume, Issue, Outcome, Place, Transfer, Words};
use scrip::domain::{Error, Result};
use serde_json::json;

use crate::harness::{Backend, House, at};
use crate::on_both;

/// Requests that are sent at the same time.
const CLIENTS: usize = 32;
/// Requests in all.
const REQUESTS: usize = 640;
/// Customers: few, so that they meet.
const PEOPLE: usize = 3;

/// What is asked for, of whom, how much, and under which key: a repeated number is sent again with the same arguments,
/// or with others.
#[derive(Clone, Debug)]
struct Ask {
    who: usize,
    verb: u8,
    amount: i64,
    key: usize,
}

fn asks() -> Vec<Ask> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"keys repeated, mixed, by dozens!");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let one = (0..PEOPLE, 0..6_u8, 1..5_i64, 0..100_u8, any::<prop::sample::Index>());
    let mut asks: Vec<Ask> = Vec::new();
    for key in 0..REQUESTS {
        let (who, verb, amount, dice, earlier) = one.new_tree(&mut runner).expect("a request").current();
        // Of those that are about to be sent as well, so that twins meet.
        let near = &asks[asks.len().saturating_sub(CLIENTS)..];
        let ask = match dice {
            0..20 if !near.is_empty() => earlier.get(near).clone(),
            20..30 if !near.is_empty() => Ask { who, verb, amount, key: earlier.get(near).key },
            _ => Ask { who, verb, amount, key },
        };
        asks.push(ask);
    }
    asks
}

fn command(ask: &Ask, people: &[entity::CustomerId], credit_type: entity::CreditTypeId) -> Command {
    let (customer, amount, words) = (people[ask.who], entity::Credits(ask.amount), Words::default());
    match ask.verb {
        0 | 1 => Command::Issue(Issue {
            customer,
            credit_type,
            amount,
            effective_at: None,
            expiration: None,
            priority: None,
            cost: None,
            metadata: None,
            period: None,
            cap: None,
            words,
        }),
        2 | 3 => Command::Consume(Consume { customer, credit_type, amount, words }),
        4 => Command::Place(Place { customer, credit_type, amount, expires_at: at("2026-03-08T00:00:00Z"), words }),
        _ => Command::Transfer(Transfer {
            from: customer,
            to: people[(ask.who + 1) % people.len()],
            credit_type,
            amount,
            words,
        }),
    }
}

/// What a request was answered: its activities, or the code of its refusal.
fn answer(outcome: &Result<Outcome>) -> std::result::Result<Vec<entity::ActivityId>, Code> {
    match outcome {
        Ok(outcome) => Ok(outcome.activities.iter().map(|(activity, _)| activity.id).collect()),
        Err(Error::Refused(refusal) | Error::RefusedBefore(refusal)) => Err(refusal.code()),
        Err(other) => panic!("{other:?}"),
    }
}

on_both! {
    /// Each key belongs to one request and has one answer, and the ledger adds up.
    async fn many_at_once_answer_each_key_once(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await.parse().expect("an id");
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(house.customer(&format!("Customer {n}")).await.parse().expect("an id"));
        }
        let staff = house.staff();
        let mut answers: HashMap<(usize, String), Vec<_>> = HashMap::new();
        for chunk in asks().chunks(CLIENTS) {
            let calls = chunk.iter().map(|ask| {
                let (staff, command) = (&staff, command(ask, &people, credit_type));
                async move { credits::submit(staff, command, &format!("key-{}", ask.key)).await }
            });
            for (ask, outcome) in chunk.iter().zip(join_all(calls).await) {
                let request = format!("{:?}", command(ask, &people, credit_type));
                answers.entry((ask.key, request)).or_default().push(answer(&outcome));
            }
        }
        let mut owners: HashMap<usize, usize> = HashMap::new();
        for ((key, request), given) in &answers {
            assert!(given.iter().all(|answer| *answer == given[0]), "{key} {request}: {given:?}");
            if given[0] != Err(Code::IdempotencyKeyReused) {
                *owners.entry(*key).or_default() += 1;
            }
        }
        assert!(owners.values().all(|count| *count == 1), "a key was carried out for two requests: {owners:?}");
        let keys = answers.keys().map(|(key, _)| *key).collect::<std::collections::HashSet<_>>();
        assert_eq!(owners.len(), keys.len(), "every key has a request that it belongs to");
        let repeated = answers.values().filter(|given| given.len() > 1).count();
        assert!(repeated > 50 && answers.len() > keys.len() + 30, "too few keys met: {repeated}");
        house.assert_verified().await;
    }
}
