//! Credits set aside: placed, captured, released, lapsed.

use entity::Credits;
use futures_util::future::join_all;
use scrip::domain::Role;
use scrip::domain::credits;
use scrip::domain::ledger::{Command, Place, Words};
use serde_json::{Value, json};

use crate::harness::{Backend, House, at, codes};
use crate::on_both;

/// A customer with some credits, and what a hold of them is asked with.
async fn with_credits(house: &House, amount: i64) -> (String, String) {
    let (customer, credit_type) =
        (house.customer("Ada").await, house.credit_type("Class", json!({ "never": true })).await);
    let cost = json!({ "minor": 1000, "currency": "CHF" });
    house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount, "cost": cost })).await;
    (customer, credit_type)
}

async fn place(house: &House, customer: &str, credit_type: &str, amount: i64, until: &str) -> Value {
    let input = json!({
        "customerId": customer, "creditTypeId": credit_type, "amount": amount, "expiresAt": until, "reference": "booking-1",
    });
    house.ledger("holdPlace", input).await
}

fn hold_of(payload: &Value) -> String {
    payload["activity"]["hold"]["id"].as_str().unwrap_or_else(|| panic!("{payload:#}")).to_owned()
}

fn moved(payload: &Value) -> Vec<(String, i64, i64)> {
    let activities = payload["activities"].as_array().expect("activities");
    let line = |a: &Value| {
        let number = |name: &str| a[name].as_i64().expect("a number");
        (a["kind"].as_str().expect("a kind").to_owned(), number("amount"), number("heldAmount"))
    };
    activities.iter().map(line).collect()
}

on_both! {
    async fn what_is_held_cannot_be_used_and_is_captured(house: House) {
        let (customer, credit_type) = with_credits(&house, 3).await;
        let placed = place(&house, &customer, &credit_type, 2, "2026-03-08T09:00:00Z").await;
        assert_eq!(moved(&placed), [("HOLD".into(), -2, 2)]);
        assert_eq!((&placed["balance"]["available"], &placed["balance"]["held"]), (&json!(1), &json!(2)));
        let refused = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 })).await;
        assert_eq!(refused["userErrors"][0]["message"], "2 requested, 1 available (2 held). Nothing was used.");
        let captured = house.ledger("holdCapture", json!({ "holdId": hold_of(&placed) })).await;
        assert_eq!(moved(&captured), [("CAPTURE".into(), 0, -2)]);
        assert_eq!(captured["activity"]["hold"], json!({ "id": hold_of(&placed), "status": "CAPTURED", "captured": 2 }));
        assert_eq!(captured["activities"][0]["allocations"][0]["cost"]["minor"], 666);
        assert_eq!(captured["balance"]["totals"]["consumed"], 2);
        house.assert_verified().await;
    }

    async fn a_part_is_captured_and_the_rest_goes_back(house: House) {
        let (customer, credit_type) = with_credits(&house, 3).await;
        let placed = place(&house, &customer, &credit_type, 3, "2026-03-08T09:00:00Z").await;
        let preview = house.ledger("holdCapture", json!({ "holdId": hold_of(&placed), "amount": 1, "dryRun": true })).await;
        assert_eq!(preview["preview"]["balanceAfter"], 2);
        assert_eq!(preview["preview"]["draws"][0]["amount"], 1);
        let captured = house.ledger("holdCapture", json!({ "holdId": hold_of(&placed), "amount": 1 })).await;
        assert_eq!(moved(&captured), [("CAPTURE".into(), 0, -1), ("RELEASE".into(), 2, -2)]);
        assert_eq!((&captured["balance"]["available"], &captured["balance"]["held"]), (&json!(2), &json!(0)));
        assert_eq!(captured["activities"][0]["allocations"][0]["cost"]["minor"], 333);
        assert_eq!(captured["activities"][1]["allocations"][0]["cost"]["minor"], 667);
        house.assert_verified().await;
    }

    async fn what_is_settled_is_settled(house: House) {
        let (customer, credit_type) = with_credits(&house, 3).await;
        let placed = place(&house, &customer, &credit_type, 2, "2026-03-08T09:00:00Z").await;
        let hold = hold_of(&placed);
        let more = house.ledger("holdCapture", json!({ "holdId": hold, "amount": 3 })).await;
        assert_eq!((codes(&more), &more["userErrors"][0]["field"]), (vec!["MORE_THAN_LEFT"], &json!(["amount"])));
        let released = house.ledger("holdRelease", json!({ "holdId": hold, "idempotencyKey": "r" })).await;
        assert_eq!(moved(&released), [("RELEASE".into(), 2, -2)]);
        assert_eq!(house.ledger("holdRelease", json!({ "holdId": hold, "idempotencyKey": "r" })).await["replayed"], true);
        for (mutation, input) in [
            ("holdRelease", json!({ "holdId": hold })),
            ("holdCapture", json!({ "holdId": hold })),
            ("holdCapture", json!({ "holdId": hold, "amount": 9 })),
        ] {
            let refused = house.ledger(mutation, input).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["HOLD_CLOSED"], &json!(["holdId"])));
            let message = refused["userErrors"][0]["message"].as_str().expect("a message");
            assert!(message.contains("it was released"), "{message}");
        }
        for (input, code, field) in [
            (json!({ "holdId": "hld_01h455vb4pex5vsknk084sn02q" }), "NOT_FOUND", "holdId"),
            (json!({ "holdId": customer }), "NOT_FOUND", "holdId"),
            (json!({ "holdId": hold, "amount": 0 }), "INVALID", "amount"),
        ] {
            let refused = house.ledger("holdCapture", input).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!([field])));
        }
        assert_eq!(house.balance(&customer).await["available"], 3);
        house.assert_verified().await;
    }

    async fn a_hold_has_an_end_within_the_limit(house: House) {
        let (customer, credit_type) = with_credits(&house, 3).await;
        for (until, code) in [
            ("2026-03-01T09:00:00Z", "EXPIRATION_NOT_IN_FUTURE"),
            ("2027-03-02T09:00:00.000001Z", "HOLD_TOO_LONG"),
            ("3026-03-02T09:00:00Z", "INVALID"),
        ] {
            let refused = place(&house, &customer, &credit_type, 1, until).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!(["expiresAt"])));
        }
        assert_eq!(codes(&place(&house, &customer, &credit_type, 1, "2027-03-02T09:00:00Z").await), Vec::<&str>::new());
        let limit = "mutation { accountUpdate(input: { holdLimitDays: 7 }) { account { holdLimitDays } userErrors { code } } }";
        let changed = house.ask(Role::Owner, limit, json!({})).await;
        assert_eq!(changed["data"]["accountUpdate"]["account"]["holdLimitDays"], 7);
        let refused = place(&house, &customer, &credit_type, 1, "2026-03-08T09:00:00.000001Z").await;
        assert!(refused["userErrors"][0]["message"].as_str().expect("a message").starts_with("A hold lasts 7 days at most."));
        assert_eq!(codes(&place(&house, &customer, &credit_type, 5, "2026-03-08T09:00:00Z").await), ["INSUFFICIENT_CREDITS"]);
        house.assert_verified().await;
    }

    /// All open holds of a wallet are looked at with every command, so their number has a limit.
    async fn a_wallet_has_so_many_open_holds_and_no_more(house: House) {
        let (customer, credit_type) = with_credits(&house, 2_000).await;
        // Past the API, which would read the wallet again for each answer.
        let (staff, expires_at) = (house.staff(), at("2026-03-08T00:00:00Z"));
        let (customer_id, type_id) = (customer.parse().expect("an id"), credit_type.parse().expect("an id"));
        for round in 0..5 {
            let place = Place { customer: customer_id, credit_type: type_id, amount: Credits(1), expires_at, words: Words::default() };
            let placed = join_all((0..200).map(|number| {
                let (staff, command) = (&staff, Command::Place(place.clone()));
                async move { credits::submit(staff, command, &format!("hold-{round}-{number}")).await }
            }));
            assert!(placed.await.iter().all(Result::is_ok));
        }
        let open = "query($id: ID!) { customer(by: { id: $id }) { holds(first: 1) { nodes { id } } } }";
        let open = house.data(open, json!({ "id": customer })).await["customer"]["holds"]["nodes"][0]["id"].clone();
        let refused = place(&house, &customer, &credit_type, 1, "2026-03-08T00:00:00Z").await;
        assert_eq!(codes(&refused), ["TOO_MANY_HOLDS"]);
        house.ledger("holdRelease", json!({ "holdId": open })).await;
        assert_eq!(codes(&place(&house, &customer, &credit_type, 1, "2026-03-08T00:00:00Z").await), Vec::<&str>::new());
        // All of them lapse at once.
        house.set_clock("2026-03-08T00:00:00Z");
        assert_eq!(house.balance(&customer).await["available"], 2_000);
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        house.assert_verified().await;
    }

    /// Nobody has run anything: the credits are there again, and reading says so.
    async fn a_hold_lapses_by_itself(house: House) {
        let (customer, credit_type) = with_credits(&house, 3).await;
        let placed = place(&house, &customer, &credit_type, 3, "2026-03-08T09:00:00Z").await;
        let query = "query($id: ID!, $hold: ID!) { hold(id: $hold) { status closedAt }
            customer(by: { id: $id }) {
                balances { available held }
                open: holds(status: OPEN) { nodes { id } } lapsed: holds(status: LAPSED) { nodes { reference amount } }
                usable: grants(status: USABLE) { nodes { remaining held } } } }";
        let variables = json!({ "id": customer, "hold": hold_of(&placed) });
        house.set_clock("2026-03-08T08:59:59.999999Z");
        let before = house.data(query, variables.clone()).await;
        assert_eq!(before["customer"]["balances"][0], json!({ "available": 0, "held": 3 }));
        assert_eq!(before["customer"]["open"]["nodes"].as_array().map(Vec::len), Some(1));
        assert_eq!(before["customer"]["usable"]["nodes"], json!([]));
        house.set_clock("2026-03-08T09:00:00Z");
        let after = house.data(query, variables).await;
        assert_eq!(after["hold"], json!({ "status": "LAPSED", "closedAt": "2026-03-08T09:00:00Z" }));
        assert_eq!(after["customer"]["balances"][0], json!({ "available": 3, "held": 0 }));
        assert_eq!(after["customer"]["open"]["nodes"], json!([]));
        assert_eq!(after["customer"]["lapsed"]["nodes"], json!([{ "reference": "booking-1", "amount": 3 }]));
        assert_eq!(after["customer"]["usable"]["nodes"], json!([{ "remaining": 3, "held": 0 }]));
        // The next to come writes it down, with its own date.
        house.set_clock("2026-03-20T00:00:00Z");
        let late = house.ledger("holdCapture", json!({ "holdId": hold_of(&placed) })).await;
        assert_eq!(codes(&late), ["HOLD_CLOSED"]);
        let message = late["userErrors"][0]["message"].as_str().expect("a message").to_owned();
        assert_eq!(message, "This hold was closed at 2026-03-08T09:00:00Z: it lapsed, and its credits went back. Nothing was changed.");
        let lines = house.history(&customer).await;
        assert_eq!(lines.last(), Some(&("LAPSE".into(), 3, -3, "2026-03-08T09:00:00Z".into())));
        house.assert_verified().await;
    }

    /// What is held was booked in time: it does not expire, and can be captured after its grant's end. What comes back
    /// to a grant that has ended goes on at once.
    async fn what_is_held_outlives_its_grant(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        let end = json!({ "at": "2026-03-05T00:00:00Z" });
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "expiration": end })).await;
        let placed = place(&house, &customer, &credit_type, 3, "2026-03-10T00:00:00Z").await;
        house.set_clock("2026-03-06T00:00:00Z");
        let balance = house.balance(&customer).await;
        assert_eq!((&balance["available"], &balance["held"], &balance["totals"]["expired"]), (&json!(0), &json!(3), &json!(2)));
        let captured = house.ledger("holdCapture", json!({ "holdId": hold_of(&placed), "amount": 2 })).await;
        assert_eq!(moved(&captured), [("CAPTURE".into(), 0, -2), ("RELEASE".into(), 1, -1), ("EXPIRE".into(), -1, 0)]);
        assert_eq!(captured["balance"]["totals"], json!({ "issued": 5, "consumed": 2, "expired": 3, "voided": 0, "transferred": 0 }));
        house.assert_verified().await;
    }

    async fn a_voided_grant_s_held_credits_are_voided_when_they_come_back(house: House) {
        let (customer, credit_type) = with_credits(&house, 5).await;
        let placed = place(&house, &customer, &credit_type, 3, "2026-03-10T00:00:00Z").await;
        let grant = house.data("query($id: ID!) { customer(by: { id: $id }) { grants { nodes { id } } } }", json!({ "id": customer })).await;
        let grant = grant["customer"]["grants"]["nodes"][0]["id"].clone();
        house.ledger("grantVoid", json!({ "grantId": grant, "reason": "Paid back" })).await;
        let released = house.ledger("holdRelease", json!({ "holdId": hold_of(&placed) })).await;
        assert_eq!(moved(&released), [("RELEASE".into(), 3, -3), ("VOID".into(), -3, 0)]);
        assert_eq!(released["balance"]["totals"]["voided"], 5);
        house.assert_verified().await;
    }

    async fn disabled_credits_finish_what_was_agreed(house: House) {
        let (customer, credit_type) = with_credits(&house, 4).await;
        let first = place(&house, &customer, &credit_type, 1, "2026-03-10T00:00:00Z").await;
        let second = place(&house, &customer, &credit_type, 1, "2026-03-10T00:00:00Z").await;
        let off = "mutation { accountUpdate(input: { creditsEnabled: false }) { account { creditsEnabled } } }";
        house.ask(Role::Owner, off, json!({})).await;
        assert_eq!(codes(&place(&house, &customer, &credit_type, 1, "2026-03-10T00:00:00Z").await), ["CREDITS_DISABLED"]);
        let captured = house.ledger("holdCapture", json!({ "holdId": hold_of(&first) })).await;
        assert_eq!(codes(&captured), Vec::<&str>::new());
        let reversed = house.ledger("activityReverse", json!({ "activityId": captured["activity"]["id"], "reason": "Not held" })).await;
        assert_eq!(codes(&reversed), Vec::<&str>::new());
        assert_eq!(codes(&house.ledger("holdRelease", json!({ "holdId": hold_of(&second) })).await), Vec::<&str>::new());
        house.assert_verified().await;
    }
}
