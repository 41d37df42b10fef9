//! Random commands through the database, side by side with a naive ledger that knows the rules and nothing else.

use std::collections::HashMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use scrip::domain::ledger::{self, Command, Consume, Issue, Outcome, Words};
use scrip::domain::{Error, Refusal, Result};
use serde_json::json;

use crate::harness::{Backend, House};
use crate::on_both;

/// What one of three customers asks for; some keys are used again, some with other arguments.
#[derive(Clone, Debug)]
struct Ask {
    customer: usize,
    issue: bool,
    amount: i64,
    key: u16,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = (0..3_usize, prop::bool::weighted(0.4), 1..6_i64, 0..400_u16);
    proptest::collection::vec(ask.prop_map(|(customer, issue, amount, key)| Ask { customer, issue, amount, key }), 300)
}

/// The naive ledger: a balance per customer, and what each key was answered.
#[derive(Default)]
struct Naive {
    balances: HashMap<usize, i64>,
    answers: HashMap<u16, (String, Answer)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Done { balance_after: i64 },
    Insufficient,
    Reused,
}

impl Naive {
    fn answer(&mut self, ask: &Ask) -> Answer {
        let request = format!("{} {} {}", ask.customer, ask.issue, ask.amount);
        if let Some((first, answer)) = self.answers.get(&ask.key) {
            return if *first == request { answer.clone() } else { Answer::Reused };
        }
        let balance = self.balances.entry(ask.customer).or_default();
        let answer = match ask.issue {
            true => {
                *balance += ask.amount;
                Answer::Done { balance_after: *balance }
            }
            false if *balance < ask.amount => Answer::Insufficient,
            false => {
                *balance -= ask.amount;
                Answer::Done { balance_after: *balance }
            }
        };
        self.answers.insert(ask.key, (request, answer.clone()));
        answer
    }
}

fn read(outcome: &Result<Outcome>) -> Answer {
    match outcome {
        Ok(outcome) => Answer::Done { balance_after: outcome.activities[0].0.balance_after.0 },
        Err(
            Error::Refused(Refusal::InsufficientCredits { .. })
            | Error::RefusedBefore(Refusal::InsufficientCredits { .. }),
        ) => Answer::Insufficient,
        Err(Error::Refused(Refusal::IdempotencyKeyReused)) => Answer::Reused,
        Err(other) => panic!("{other:?}"),
    }
}

async fn submit(house: &House, customers: &[String], credit_type: &str, ask: &Ask, round: usize) -> Result<Outcome> {
    let (customer, credit_type) =
        (customers[ask.customer].parse().expect("an id"), credit_type.parse().expect("an id"));
    let (amount, words) = (entity::Credits(ask.amount), Words::default());
    let command = if ask.issue {
        Command::Issue(Issue {
            customer,
            credit_type,
            amount,
            effective_at: None,
            expiration: None,
            priority: None,
            cost: None,
            metadata: None,
            words,
        })
    } else {
        Command::Consume(Consume { customer, credit_type, amount, words })
    };
    ledger::submit(&house.staff(), command, &format!("{round}-{}", ask.key)).await
}

fn histories(count: usize) -> Vec<Vec<Ask>> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"a ledger that is always the same");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| asks().new_tree(&mut runner).expect("a history").current()).collect()
}

on_both! {
    /// One after the other, every answer is the naive ledger's.
    async fn one_after_the_other_agrees_with_the_naive_ledger(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        for (round, history) in histories(2).into_iter().enumerate() {
            let mut customers = Vec::new();
            for n in 0..3 {
                customers.push(house.customer(&format!("Customer {round} {n}")).await);
            }
            let mut naive = Naive::default();
            for ask in &history {
                let outcome = submit(&house, &customers, &credit_type, ask, round).await;
                assert_eq!(read(&outcome), naive.answer(ask), "{ask:?}");
            }
            for (n, customer) in customers.iter().enumerate() {
                let balance = house.balance(customer).await["available"].as_i64().unwrap_or(0);
                assert_eq!(balance, naive.balances.get(&n).copied().unwrap_or(0));
            }
        }
        house.assert_verified().await;
    }

    /// Thirty-two at once, with repeated and mismatched keys: each key has one answer, and the ledger adds up.
    async fn many_at_once_answer_each_key_once(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let mut customers = Vec::new();
        for n in 0..3 {
            customers.push(house.customer(&format!("Customer {n}")).await);
        }
        let history = histories(1).remove(0);
        let mut answers: HashMap<(u16, String), Vec<Answer>> = HashMap::new();
        for chunk in history.chunks(32) {
            let outcomes = join_all(chunk.iter().map(|ask| submit(&house, &customers, &credit_type, ask, 0))).await;
            for (ask, outcome) in chunk.iter().zip(&outcomes) {
                let request = format!("{} {} {}", ask.customer, ask.issue, ask.amount);
                answers.entry((ask.key, request)).or_default().push(read(outcome));
            }
        }
        let mut winners: HashMap<u16, usize> = HashMap::new();
        for ((key, request), given) in &answers {
            assert!(given.iter().all(|answer| *answer == given[0]), "{key} {request}: {given:?}");
            if given[0] != Answer::Reused {
                *winners.entry(*key).or_default() += 1;
            }
        }
        let keys = answers.keys().map(|(key, _)| *key).collect::<std::collections::HashSet<_>>();
        assert_eq!(winners.len(), keys.len(), "every key has a request that it belongs to");
        assert!(winners.values().all(|count| *count == 1), "{winners:?}");
        house.assert_verified().await;
    }
}
