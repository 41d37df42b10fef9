//! Many at once.

use std::collections::HashSet;

use futures_util::future::join_all;
use scrip::domain::credits;
use scrip::domain::ledger::{self, Consume, Words};
use scrip::domain::{Caller, Error, Refusal, Role};
use serde_json::json;

use crate::harness::{Backend, House, codes, new_account};
use crate::on_both;

on_both! {
    async fn fifty_with_keys_of_their_own_use_what_is_there(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 10 })).await;
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 });
        let answers = join_all((0..50).map(|_| house.consume(input.clone()))).await;
        let used = answers.iter().filter(|answer| answer["activity"].is_object()).count();
        let refused = answers.iter().filter(|answer| codes(answer) == ["INSUFFICIENT_CREDITS"]).count();
        assert_eq!((used, refused), (10, 40));
        assert_eq!(house.balance(&customer).await["available"], 0);
        house.assert_verified().await;
    }

    async fn fifty_with_one_key_use_one(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 10 })).await;
        let input = json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": "booking-1",
        });
        let answers = join_all((0..50).map(|_| house.consume(input.clone()))).await;
        let activities = answers.iter().map(|answer| answer["activity"].to_string()).collect::<HashSet<_>>();
        assert_eq!(activities.len(), 1, "{activities:?}");
        assert!(answers.iter().all(|answer| answer["activity"]["amount"] == -1));
        assert_eq!(answers.iter().filter(|answer| answer["replayed"] == false).count(), 1);
        assert_eq!(house.balance(&customer).await["available"], 9);
        house.assert_verified().await;
    }

    /// The same keys sent to two servers on one database: who is second finds what the first one wrote.
    async fn two_servers_carry_out_each_key_once(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1000 })).await;
        let second = house.second_server().await;
        let callers = [house.staff(), Caller::of(second.clone(), house.account.id, Role::Staff, "tester")];
        let consume = |caller: Caller, key: String| {
            let consume = Consume {
                customer: customer.parse().expect("an id"),
                credit_type: credit_type.parse().expect("an id"),
                amount: entity::Credits(1),
                words: Words::default(),
            };
            async move { credits::consume(&caller, consume, &key).await.expect("enough credits") }
        };
        let calls = (0..40).flat_map(|n| callers.iter().map(move |caller| (caller.clone(), format!("twin-{n}"))));
        let outcomes = join_all(calls.map(|(caller, key)| consume(caller, key))).await;
        let ids = outcomes.iter().map(|outcome| outcome.activities[0].0.id).collect::<HashSet<_>>();
        assert_eq!(ids.len(), 40);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.replayed).count(), 40);
        assert_eq!(house.balance(&customer).await["available"], 960);
        house.assert_verified().await;
        second.close().await;
    }

    /// Commands of several accounts in one commit: the same key in each is each account's own, another account's customer
    /// is not found, and each ledger adds up. The same where accounts are kept apart.
    async fn accounts_of_one_commit_do_not_meet(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let ada = house.customer("Ada").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": credit_type, "amount": 100 })).await;
        let mut other = house.beside();
        other.account = new_account(&house.app, "other").await;
        let class = other.credit_type("Class", json!({ "never": true })).await;
        let bob = other.customer("Bob").await;
        other.issue(json!({ "customerId": bob, "creditTypeId": class, "amount": 100 })).await;
        let of = |staff: Caller, customer: &str, credit_type: &str, key: String| {
            let (customer, credit_type) = (customer.parse().expect("an id"), credit_type.parse().expect("an id"));
            let consume = Consume { customer, credit_type, amount: entity::Credits(1), words: Words::default() };
            async move { credits::consume(&staff, consume, &key).await }
        };
        for (apart, round) in [(false, "together"), (true, "apart")] {
            house.app.keep_accounts_apart(apart);
            let own = (0..20).map(|n| of(house.staff(), &ada, &credit_type, format!("{round}-{n}")));
            let theirs = (0..20).map(|n| of(other.staff(), &bob, &class, format!("{round}-{n}")));
            let strays = (0..5).map(|n| of(house.staff(), &bob, &class, format!("{round}-stray-{n}")));
            let half = (0..5).map(|n| of(house.staff(), &ada, &class, format!("{round}-half-{n}")));
            let (own, theirs, strays, half) =
                tokio::join!(join_all(own), join_all(theirs), join_all(strays), join_all(half));
            for outcome in own.iter().chain(&theirs) {
                assert!(outcome.as_ref().is_ok_and(|outcome| !outcome.replayed), "{outcome:?}");
            }
            for outcome in strays.iter().chain(&half) {
                assert!(matches!(outcome, Err(Error::Refused(Refusal::NotFound { .. }))), "{outcome:?}");
            }
        }
        assert_eq!(house.balance(&ada).await["available"], 60);
        assert_eq!(other.balance(&bob).await["available"], 60);
        house.assert_verified().await;
        other.assert_verified().await;
    }

    /// One key for two customers, whose wallets lie in different lanes: one wins, the other hears that the key is used.
    async fn one_key_for_two_wallets_is_carried_out_for_one(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let mut customers = Vec::new();
        for n in 0..8 {
            let customer = house.customer(&format!("Customer {n}")).await;
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
            customers.push(customer);
        }
        let staff = house.staff();
        let outcomes = join_all(customers.iter().map(|customer| {
            let consume = Consume {
                customer: customer.parse().expect("an id"),
                credit_type: credit_type.parse().expect("an id"),
                amount: entity::Credits(1),
                words: Words::default(),
            };
            credits::consume(&staff, consume, "shared")
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        let refused = outcomes.iter().filter(|o| matches!(o, Err(Error::Refused(Refusal::IdempotencyKeyReused)))).count();
        assert_eq!(refused, 7);
        house.assert_verified().await;
    }

    /// A customer's first credits, many at once: the wallet is made once.
    async fn first_issues_at_once_make_one_wallet(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3 });
        let answers = join_all((0..20).map(|_| house.issue(input.clone()))).await;
        assert!(answers.iter().all(|answer| answer["grant"]["amount"] == 3));
        assert_eq!(house.balance(&customer).await["available"], 60);
        house.assert_verified().await;
    }

    /// What was accepted before the server was asked to stop is written; what comes after hears so.
    async fn closing_finishes_what_was_accepted(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let second = house.second_server().await;
        let caller = Caller::of(second.clone(), house.account.id, Role::Staff, "tester");
        let issue = || ledger::Issue {
            customer: customer.parse().expect("an id"),
            credit_type: credit_type.parse().expect("an id"),
            amount: entity::Credits(1),
            effective_at: None,
            expiration: None,
            priority: None,
            cost: None,
            metadata: None,
            period: None,
            cap: None,
            words: Words::default(),
        };
        let calls = join_all((0..100).map(|n| {
            let (caller, issue) = (caller.clone(), issue());
            tokio::spawn(async move { credits::issue(&caller, issue, &format!("late-{n}")).await })
        }));
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let (outcomes, ()) = tokio::join!(calls, second.close());
        let written = outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(Result::is_ok)).count();
        let unavailable = outcomes.iter().filter(|o| matches!(o, Ok(Err(Error::Unavailable(_))))).count();
        assert_eq!(written + unavailable, 100);
        let available = house.balance(&customer).await["available"].as_u64().unwrap_or(0);
        assert_eq!(available, written as u64);
        house.assert_verified().await;
    }
}
