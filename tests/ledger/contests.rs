//! Two that cannot both win, at the same time, from two servers on one database.

use chrono::TimeDelta;
use entity::activity::Kind;
use futures_util::future::join_all;
use scrip::domain::credits;
use scrip::domain::ground::error::Code;
use scrip::domain::ledger::{Command, Consume, Outcome, Transfer, Words};
use scrip::domain::{App, Caller, Error, Result, Role};
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, at};
use crate::on_both;

/// How often each contest is held.
const ROUNDS: usize = 15;

/// A customer with credits of a type, and staff on two servers.
struct Ring {
    house: House,
    second: App,
    credit_type: String,
}

impl Ring {
    async fn new(house: House) -> Self {
        let second = house.second_server().await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        Self { house, second, credit_type }
    }

    fn staff(&self) -> [Caller; 2] {
        let there = Caller::of(self.second.clone(), self.house.account.id, Role::Staff, "tester");
        [self.house.staff(), there]
    }

    async fn customer(&self, name: &str, amount: i64, expiration: Value) -> (String, String) {
        let customer = self.house.customer(name).await;
        let input = json!({ "customerId": customer, "creditTypeId": self.credit_type, "amount": amount, "expiration": expiration });
        let issued = self.house.issue(input).await;
        (customer, issued["grant"]["id"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned())
    }

    fn consume(&self, customer: &str, amount: i64) -> Command {
        Command::Consume(Consume {
            customer: customer.parse().expect("an id"),
            credit_type: self.credit_type.parse().expect("an id"),
            amount: entity::Credits(amount),
            words: Words::default(),
        })
    }

    async fn end(self) {
        self.house.assert_verified().await;
        self.second.close().await;
    }
}

fn code(outcome: &Result<Outcome>) -> Option<Code> {
    match outcome {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal.code()),
        Err(other) => panic!("{other:?}"),
    }
}

on_both! {
    async fn capture_and_release_of_one_hold(house: House) {
        let ring = Ring::new(house).await;
        let [here, there] = ring.staff();
        for round in 0..ROUNDS {
            let (customer, _) = ring.customer(&format!("Customer {round}"), 3, json!({ "never": true })).await;
            let input = json!({ "customerId": customer, "creditTypeId": ring.credit_type, "amount": 2, "expiresAt": "2026-03-08T00:00:00Z" });
            let placed = ring.house.ledger("holdPlace", input).await;
            let hold = placed["activity"]["hold"]["id"].as_str().expect("a hold").parse().expect("an id");
            let capture = credits::about::capture(&here, hold, None, Words::default()).await.expect("a command");
            let release = credits::about::release(&there, hold, Words::default()).await.expect("a command");
            let keys = [format!("capture-{round}"), format!("release-{round}")];
            let (captured, released) =
                tokio::join!(credits::submit(&here, capture, &keys[0]), credits::submit(&there, release, &keys[1]));
            let available = ring.house.balance(&customer).await["available"].clone();
            match (code(&captured), code(&released)) {
                (None, Some(Code::HoldClosed)) => assert_eq!(available, 1),
                (Some(Code::HoldClosed), None) => assert_eq!(available, 3),
                both => panic!("{both:?}"),
            }
        }
        ring.end().await;
    }

    /// Each locks the two wallets in the order of their keys, so neither waits for the other for ever.
    async fn transfers_in_both_directions(house: House) {
        let ring = Ring::new(house).await;
        let (ada, _) = ring.customer("Ada", 60, json!({ "never": true })).await;
        let (grace, _) = ring.customer("Grace", 60, json!({ "never": true })).await;
        let staff = ring.staff();
        let transfer = |from: &str, to: &str| {
            Command::Transfer(Transfer {
                from: from.parse().expect("an id"),
                to: to.parse().expect("an id"),
                credit_type: ring.credit_type.parse().expect("an id"),
                amount: entity::Credits(1),
                words: Words::default(),
            })
        };
        let calls = (0..80_usize).map(|n| {
            let (from, to) = if n % 2 == 0 { (&ada, &grace) } else { (&grace, &ada) };
            let (caller, command) = (&staff[(n / 2) % 2], transfer(from, to));
            async move { credits::submit(caller, command, &format!("transfer-{n}")).await }
        });
        let outcomes = join_all(calls).await;
        assert!(outcomes.iter().all(|outcome| code(outcome).is_none()), "there are enough for all");
        for customer in [&ada, &grace] {
            let balance = ring.house.balance(customer).await;
            assert_eq!((&balance["available"], &balance["totals"]["issued"]), (&json!(60), &json!(100)));
        }
        ring.end().await;
    }

    async fn consume_and_void_of_the_only_grant(house: House) {
        let ring = Ring::new(house).await;
        let [here, there] = ring.staff();
        for round in 0..ROUNDS {
            let (customer, grant) = ring.customer(&format!("Customer {round}"), 5, json!({ "never": true })).await;
            let void = credits::about::void(&there, grant.parse().expect("an id"), "Paid back".to_owned(), Words::default());
            let void = void.await.expect("a command");
            let (consume, keys) = (ring.consume(&customer, 2), [format!("consume-{round}"), format!("void-{round}")]);
            let (used, voided) =
                tokio::join!(credits::submit(&here, consume, &keys[0]), credits::submit(&there, void, &keys[1]));
            let totals = ring.house.data("query($id: ID!) { customer(by: { id: $id }) { balances { totals { consumed voided } } } }", json!({ "id": customer })).await;
            let totals = totals["customer"]["balances"][0]["totals"].clone();
            match (code(&used), code(&voided)) {
                (None, None) => assert_eq!(totals, json!({ "consumed": 2, "voided": 3 })),
                (Some(Code::InsufficientCredits), None) => assert_eq!(totals, json!({ "consumed": 0, "voided": 5 })),
                both => panic!("{both:?}"),
            }
        }
        ring.end().await;
    }

    /// The clock goes on while credits are used, the worker runs beside it: nothing is used at its end or after it.
    async fn consume_and_expiry_with_the_clock_moving(house: House) {
        let ring = Ring::new(house).await;
        let end = at("2026-03-01T10:00:00Z");
        let mut customers = Vec::new();
        for n in 0..4 {
            customers.push(ring.customer(&format!("Customer {n}"), 200, json!({ "at": end })).await.0);
        }
        let staff = ring.staff();
        let calls = (0..160_usize).map(|n| {
            let (caller, command) = (&staff[n % 2], ring.consume(&customers[n % 4], 1));
            async move {
                tokio::time::sleep(std::time::Duration::from_micros(250 * n as u64)).await;
                credits::submit(caller, command, &format!("use-{n}")).await
            }
        });
        let moving = async {
            for minute in 0..=70 {
                ring.house.clock.set(end + TimeDelta::minutes(minute - 60));
                tokio::time::sleep(std::time::Duration::from_micros(600)).await;
            }
        };
        let working = async {
            for n in 0..30 {
                worker::round(if n % 2 == 0 { &ring.house.app } else { &ring.second }).await.expect("a round");
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        let (outcomes, (), ()) = tokio::join!(join_all(calls), moving, working);
        worker::round(&ring.house.app).await.expect("a round");
        let used = outcomes.iter().flatten().map(|outcome| outcome.activities[0].0.clone()).collect::<Vec<_>>();
        assert!(used.iter().all(|activity| activity.kind == Kind::Consume && activity.at < end), "used at its end");
        assert!(outcomes.iter().all(|outcome| matches!(code(outcome), None | Some(Code::InsufficientCredits))));
        let mut ended = 0;
        for customer in &customers {
            let balance = ring.house.balance(customer).await;
            assert_eq!(balance["available"], 0);
            ended += balance["totals"]["expired"].as_u64().expect("a number");
            let ends = ring.house.history(customer).await.into_iter().filter(|(kind, ..)| kind == "EXPIRE").collect::<Vec<_>>();
            assert_eq!(ends.len(), 1, "it ends once");
            assert_eq!(ends[0].3, "2026-03-01T10:00:00Z");
        }
        assert_eq!(ended + used.len() as u64, 800);
        ring.end().await;
    }

    /// The same in a sandbox, whose clock is moved through the API.
    async fn consume_and_expiry_in_a_sandbox(house: House) {
        let house = house.sandbox("contest", "2026-03-01T09:00:00Z").await;
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let end = json!({ "at": "2026-03-01T10:00:00Z" });
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 100, "expiration": end })).await;
        let calls = join_all((0..40).map(|_| house.consume(json!({ "customerId": customer, "creditTypeId": class, "amount": 1 }))));
        let (answers, advanced) = tokio::join!(calls, house.advance("2026-03-02T00:00:00Z"));
        assert_eq!(advanced["arrived"], true);
        let used = answers.iter().filter(|answer| answer["activity"].is_object()).collect::<Vec<_>>();
        assert!(used.iter().all(|answer| answer["activity"]["at"] == "2026-03-01T09:00:00Z"), "used at its end");
        let totals = house.balance(&customer).await["totals"].clone();
        assert_eq!((totals["consumed"].as_u64(), totals["expired"].as_u64()), (Some(used.len() as u64), Some(100 - used.len() as u64)));
        house.assert_verified().await;
    }
}
