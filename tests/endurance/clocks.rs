//! The server's clock steps back and forth under load: instants never go back within a wallet, and all adds up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use scrip::domain::credits;
use scrip::domain::ground::clock::Clock;
use scrip::domain::ledger::{Command, Consume, Issue, Place, Words};
use scrip::domain::{Error, Refusal};
use serde_json::json;

use crate::harness::{Backend, House};
use crate::on_both;
use crate::size;

on_both! {
    async fn a_clock_that_steps_back_and_forth_confuses_nobody(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
        let mut people = Vec::new();
        for n in 0..6 {
            people.push(house.customer(&format!("Customer {n}")).await);
        }
        let customers = people.iter().map(|id| id.parse().expect("an id")).collect::<Vec<_>>();
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let callers = (0..8_usize).map(|n| {
            let (staff, clock, over, done) = (house.staff(), house.clock.clone(), over.clone(), done.clone());
            let customers = customers.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    let (customer, credit_type, words) = (customers[(n + number) % customers.len()], class, Words::default());
                    let soon = clock.now() + TimeDelta::hours(i64::try_from(1 + number % 30).unwrap_or(1));
                    let command = match number % 4 {
                        0 => Command::Issue(Issue {
                            customer, credit_type, amount: entity::Credits(5), effective_at: None,
                            expiration: Some(entity::Expiration::At(soon)), priority: None, cost: None, metadata: None, period: None, cap: None, words,
                        }),
                        1 => Command::Place(Place { customer, credit_type, amount: entity::Credits(1), expires_at: soon, words }),
                        _ => Command::Consume(Consume { customer, credit_type, amount: entity::Credits(1), words }),
                    };
                    match credits::submit(&staff, command, &format!("step-{n}-{number}")).await {
                        Ok(_) => { done.fetch_add(1, Ordering::Relaxed); }
                        // By the clock that stood when it was decided, its end had come already, or nothing was left.
                        Err(Error::Refused(Refusal::ExpirationNotInFuture | Refusal::HoldEndsBeforeItBegins | Refusal::InsufficientCredits { .. })) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        });
        let callers = callers.collect::<Vec<_>>();
        let noon = house.now();
        let steps = i64::try_from(size(60, 600)).expect("few");
        // On a machine that has much else to do it takes more of them until enough was done.
        for step in 0..100 * steps {
            if step >= steps && done.load(Ordering::Relaxed) > 100 {
                break;
            }
            // Up to a day ahead and back again, and slowly on.
            let hours = (step * 7_919) % 24 - 12;
            house.clock.set(noon + TimeDelta::hours(hours) + TimeDelta::minutes(step * 20));
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.expect("a caller ends");
        }
        assert!(done.load(Ordering::Relaxed) > 100, "too little was done");
        // By their sequence: lists of activities are sorted by their instants.
        let back = "SELECT count(*) FROM (SELECT at < lag(at) OVER (PARTITION BY account_id, customer_id, credit_type_id ORDER BY sequence) AS back
            FROM activity) AS steps WHERE back";
        assert_eq!(house.count(back).await, 0, "instants that go back");
        house.assert_verified().await;
    }
}
