//! The test clock of a sandbox.

use scrip::domain::work::test_clock;
use scrip::domain::{Caller, Error, Refusal, Role};
use serde_json::json;

use crate::harness::{Backend, House, at, codes};
use crate::on_both;

on_both! {
    /// Everything that falls due on the way is written at its own instant, in the order in which it happens.
    async fn the_clock_stops_at_everything_that_is_due(house: House) {
        let house = house.sandbox("sandbox-one", "2026-01-01T00:00:00Z").await;
        let (ada, grace) = (house.customer("Ada").await, house.customer("Grace").await);
        let class = house.credit_type("Class", json!({ "never": true })).await;
        for (customer, amount, end) in [(&ada, 3, "2026-02-01T00:00:00Z"), (&ada, 2, "2026-01-20T00:00:00Z"), (&grace, 4, "2026-01-25T00:00:00Z")] {
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": amount, "expiration": { "at": end } })).await;
        }
        let hold = json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "expiresAt": "2026-01-22T00:00:00Z" });
        house.ledger("holdPlace", hold).await;
        let advanced = house.advance("2026-03-01T00:00:00Z").await;
        // The first step finds nothing to do: what would have ended on the 20th is held.
        assert_eq!(advanced, json!({ "account": { "clockAt": "2026-03-01T00:00:00Z" }, "steps": 4, "arrived": true, "userErrors": [] }));
        let lines = house.history(&ada).await.into_iter().skip(3).collect::<Vec<_>>();
        // Held were both of the grant that ended first and two of the other: the lapse gives all back, and what is of
        // the ended one goes on at once.
        assert_eq!(lines, [
            ("LAPSE".into(), 4, -4, "2026-01-22T00:00:00Z".into()),
            ("EXPIRE".into(), -2, 0, "2026-01-22T00:00:00Z".into()),
            ("EXPIRE".into(), -3, 0, "2026-02-01T00:00:00Z".into()),
        ]);
        assert_eq!(house.history(&grace).await.last(), Some(&("EXPIRE".into(), -4, 0, "2026-01-25T00:00:00Z".into())));
        let left = house.data("{ jobs { nodes { kind } } }", json!({})).await;
        assert_eq!(left["jobs"]["nodes"], json!([]), "nothing is left to be done");
        house.assert_verified().await;
    }

    async fn a_clock_goes_forward_only_and_only_in_a_sandbox(house: House) {
        let live = house.advance("2027-01-01T00:00:00Z").await;
        assert_eq!(codes(&live), ["NOT_A_SANDBOX"]);
        let house = house.sandbox("sandbox-two", "2026-01-01T00:00:00Z").await;
        let back = house.advance("2025-12-31T23:59:59Z").await;
        assert_eq!((codes(&back), &back["userErrors"][0]["field"]), (vec!["CLOCK_BACKWARDS"], &json!(["to"])));
        assert_eq!(codes(&house.advance("2400-01-01T00:00:00Z").await), ["INVALID"]);
        let same = house.advance("2026-01-01T00:00:00Z").await;
        assert_eq!((&same["arrived"], &same["steps"]), (&json!(true), &json!(0)));
        let query = "mutation { testClockAdvance(input: { to: \"2026-02-01T00:00:00Z\" }) { steps } }";
        let staff = house.ask(Role::Staff, query, json!({})).await;
        assert_eq!(staff["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(staff["errors"][0]["message"], "This token may not do this. It takes an owner's token.");
    }

    /// Two at once: one moves the clock, the other hears so; nothing is done twice.
    async fn one_advance_at_a_time(house: House) {
        let house = house.sandbox("sandbox-three", "2026-01-01T00:00:00Z").await;
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        for day in 2..28 {
            let end = json!({ "at": format!("2026-01-{day:02}T00:00:00Z") });
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": end })).await;
        }
        let second = house.second_server().await;
        let callers = [house.caller(Role::Owner), Caller::of(second.clone(), house.account.id, Role::Owner, "tester")];
        let to = at("2026-03-01T00:00:00Z");
        let (a, b) = tokio::join!(test_clock::advance(&callers[0], to), test_clock::advance(&callers[1], to));
        let moving = |outcome: &scrip::domain::Result<test_clock::Advanced>| matches!(outcome, Err(Error::Refused(Refusal::ClockMoving)));
        // Where they did not meet, the second finds everything done.
        let steps = [&a, &b].iter().filter_map(|outcome| outcome.as_ref().ok()).map(|done| done.steps).sum::<u64>();
        assert!([&a, &b].iter().all(|outcome| outcome.is_ok() || moving(outcome)), "{a:?} {b:?}");
        assert_eq!(steps, 26);
        assert_eq!(house.history(&customer).await.len(), 52);
        house.assert_verified().await;
        second.close().await;
    }

    /// An owner makes sandboxes for trying things, and nothing else.
    async fn an_owner_creates_sandboxes(house: House) {
        let query = |mode: &str| format!("mutation {{ accountCreate(input: {{ name: \"Try\", slug: \"try-{}\", timeZone: \"UTC\", currency: \"EUR\", mode: {mode} }}) {{
            account {{ mode }} ownerToken userErrors {{ code }} }} }}", mode.to_lowercase());
        let made = house.ask(Role::Owner, &query("SANDBOX"), json!({})).await;
        assert_eq!(made["data"]["accountCreate"]["account"]["mode"], "SANDBOX");
        assert!(made["data"]["accountCreate"]["ownerToken"].is_string());
        assert_eq!(house.ask(Role::Owner, &query("LIVE"), json!({})).await["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(house.ask(Role::Staff, &query("SANDBOX"), json!({})).await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }
}
