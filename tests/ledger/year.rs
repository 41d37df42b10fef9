//! A year of a studio in a sandbox: every balance on the way is a figure worked out by hand.

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

/// The studio, in Zurich: local days begin at 23:00 UTC in winter and at 22:00 in summer.
struct Studio {
    house: House,
    session: String,
    class: String,
    pass: String,
}

impl Studio {
    async fn opens(house: House) -> Self {
        let house = house.sandbox("studio-year", "2026-01-05T09:00:00Z").await;
        let session = house.credit_type("Coaching session", json!({ "never": true })).await;
        let class = house.credit_type("Class", json!({ "after": { "count": 90, "unit": "DAY" } })).await;
        let pass = json!({ "after": { "count": 1, "unit": "MONTH", "from": "FIRST_USE" } });
        let pass = house.credit_type("Pass", pass).await;
        Self { house, session, class, pass }
    }

    async fn on(&self, day: &str) {
        let advanced = self.house.advance(&format!("2026-{day}T09:00:00Z")).await;
        assert_eq!(advanced["arrived"], true, "{advanced}");
    }

    async fn issue(&self, customer: &str, credit_type: &str, amount: i64, francs: i64, extra: Value) -> String {
        let mut input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount });
        if francs > 0 {
            input["cost"] = json!({ "minor": francs * 100, "currency": "CHF" });
        }
        input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let issued = self.house.issue(input).await;
        issued["grant"]["id"].as_str().unwrap_or_else(|| panic!("{issued}")).to_owned()
    }

    async fn does(&self, mutation: &str, input: Value) -> Value {
        let done = self.house.ledger(mutation, input).await;
        assert_eq!(codes(&done), Vec::<&str>::new(), "{mutation}: {done}");
        done
    }

    async fn uses(&self, customer: &str, credit_type: &str, amount: i64) -> String {
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount });
        let done = self.does("creditsConsume", input).await;
        done["activity"]["id"].as_str().expect("an id").to_owned()
    }

    async fn books(&self, customer: &str, credit_type: &str, amount: i64, until: &str) -> String {
        let until = format!("2026-{until}T09:00:00Z");
        let input =
            json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount, "expiresAt": until });
        let done = self.does("holdPlace", input).await;
        done["activity"]["hold"]["id"].as_str().expect("an id").to_owned()
    }

    /// Available, held, not yet effective; then issued, consumed, expired, voided, transferred.
    async fn has(&self, customer: &str, credit_type: &str, now: [i64; 3], totals: [i64; 5]) {
        let query = "query($id: ID!, $t: ID!) { customer(by: { id: $id }) { name balances(creditTypeId: $t) {
            available held notYetEffective totals { issued consumed expired voided transferred } } } }";
        let found = self.house.data(query, json!({ "id": customer, "t": credit_type })).await["customer"].clone();
        let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("{found}"));
        let balance = &found["balances"][0];
        let is = ["available", "held", "notYetEffective"].map(|field| number(&balance[field]));
        let became =
            ["issued", "consumed", "expired", "voided", "transferred"].map(|field| number(&balance["totals"][field]));
        assert_eq!((is, became), (now, totals), "{}", found["name"]);
    }
}

on_both! {
    #[expect(clippy::too_many_lines, reason = "a year, from January to December")]
    async fn a_year_of_a_studio(house: House) {
        let studio = Studio::opens(house).await;
        // Longer than usual: in the end the whole year is looked at.
        let keep = "mutation { accountUpdate(input: { eventDays: 400 }) { userErrors { code } } }";
        studio.house.ask(scrip::domain::Role::Owner, keep, json!({})).await;
        let (ada, grace, hedy) =
            (studio.house.customer("Ada").await, studio.house.customer("Grace").await, studio.house.customer("Hedy").await);
        let Studio { session, class, pass, .. } = &studio;

        // Ten sessions for 1,200 francs; a first class on the house; ten classes for 250, until the end of 5 April.
        let sessions = studio.issue(&ada, session, 10, 1200, json!({})).await;
        studio.issue(&ada, class, 1, 0, json!({})).await;
        let classes = studio.issue(&grace, class, 10, 250, json!({})).await;
        studio.has(&ada, session, [10, 0, 0], [10, 0, 0, 0, 0]).await;
        studio.has(&ada, class, [1, 0, 0], [1, 0, 0, 0, 0]).await;
        studio.has(&grace, class, [10, 0, 0], [10, 0, 0, 0, 0]).await;

        // Two sessions are booked, one is delivered, the other goes back.
        studio.on("01-12").await;
        let booking = studio.books(&ada, session, 2, "01-20").await;
        studio.has(&ada, session, [8, 2, 0], [10, 0, 0, 0, 0]).await;
        studio.on("01-19").await;
        studio.does("holdCapture", json!({ "holdId": booking, "amount": 1 })).await;
        studio.has(&ada, session, [9, 0, 0], [10, 1, 0, 0, 0]).await;

        // Three classes are taken; two are booked and cancelled; two are booked, and nobody comes.
        studio.on("02-02").await;
        studio.uses(&grace, class, 3).await;
        studio.on("02-10").await;
        let booking = studio.books(&grace, class, 2, "02-15").await;
        studio.has(&grace, class, [5, 2, 0], [10, 3, 0, 0, 0]).await;
        studio.on("02-12").await;
        studio.does("holdRelease", json!({ "holdId": booking })).await;
        studio.has(&grace, class, [7, 0, 0], [10, 3, 0, 0, 0]).await;
        studio.on("03-01").await;
        studio.books(&grace, class, 2, "03-08").await;
        studio.on("03-20").await;
        studio.has(&grace, class, [7, 0, 0], [10, 3, 0, 0, 0]).await;

        // One is booked for after the end. Six end on 5 April, Ada's gift with them; the booked one was booked in time.
        studio.on("04-01").await;
        let booking = studio.books(&grace, class, 1, "04-20").await;
        studio.on("04-10").await;
        studio.has(&grace, class, [0, 1, 0], [10, 3, 6, 0, 0]).await;
        studio.has(&ada, class, [0, 0, 0], [1, 0, 1, 0, 0]).await;
        let ends = studio.house.history(&grace).await.into_iter().filter(|(kind, ..)| kind == "EXPIRE").collect::<Vec<_>>();
        assert_eq!(ends, [("EXPIRE".into(), -6, 0, "2026-04-05T22:00:00Z".into())]);
        studio.on("04-12").await;
        studio.does("holdCapture", json!({ "holdId": booking })).await;
        studio.has(&grace, class, [0, 0, 0], [10, 4, 6, 0, 0]).await;

        // The studio had been closed for a week: all classes get until the end of April, those that had ended too.
        studio.on("04-15").await;
        let extended = json!({
            "creditTypeId": class, "to": { "on": "2026-04-30" }, "revive": true, "reason": "Closed for a week",
            "idempotencyKey": "closed",
        });
        let extended = studio.house.mutate("grantsExtend", "operation { status done refused }", extended).await;
        assert_eq!(extended["operation"], json!({ "status": "DONE", "done": 2, "refused": 0 }));
        studio.has(&grace, class, [6, 0, 0], [10, 4, 0, 0, 0]).await;
        studio.has(&ada, class, [1, 0, 0], [1, 0, 0, 0, 0]).await;

        // Grace gives two to Ada, who uses two: of one end, her own gift comes first.
        studio.on("04-20").await;
        let given = json!({ "fromCustomerId": grace, "toCustomerId": ada, "creditTypeId": class, "amount": 2 });
        studio.does("creditsTransfer", given).await;
        studio.has(&grace, class, [4, 0, 0], [10, 4, 0, 0, 2]).await;
        studio.has(&ada, class, [3, 0, 0], [3, 0, 0, 0, 0]).await;
        studio.on("04-25").await;
        let taken = studio.uses(&ada, class, 2).await;
        studio.has(&ada, class, [1, 0, 0], [3, 2, 0, 0, 0]).await;

        // April is over: four of Grace's end, and the one that Ada has left.
        studio.on("05-02").await;
        studio.has(&grace, class, [0, 0, 0], [10, 4, 4, 0, 2]).await;
        studio.has(&ada, class, [0, 0, 0], [3, 2, 1, 0, 0]).await;

        // The coach had been ill on the 25th: both come back, as new credits with fourteen days; nobody uses them.
        studio.on("05-10").await;
        let ill = json!({ "activityId": taken, "reason": "The coach was ill", "onExpired": "REISSUE", "graceDays": 14 });
        studio.does("activityReverse", ill).await;
        studio.has(&ada, class, [2, 0, 0], [5, 0, 1, 0, 2]).await;
        studio.on("06-01").await;
        studio.has(&ada, class, [0, 0, 0], [5, 0, 3, 0, 2]).await;
        let last = studio.house.history(&ada).await.pop().expect("an activity");
        assert_eq!((last.0.as_str(), last.3.as_str()), ("EXPIRE", "2026-05-24T22:00:00Z"));

        // A pass of eight: its month begins with the first use, on 15 July. Four are left when it is over.
        studio.on("07-01").await;
        studio.issue(&hedy, pass, 8, 100, json!({})).await;
        studio.on("07-15").await;
        studio.uses(&hedy, pass, 1).await;
        studio.on("08-15").await;
        studio.uses(&hedy, pass, 3).await;
        studio.has(&hedy, pass, [4, 0, 0], [8, 4, 0, 0, 0]).await;
        studio.on("08-16").await;
        studio.has(&hedy, pass, [0, 0, 0], [8, 4, 4, 0, 0]).await;

        // Five sessions for the autumn, from 1 October on.
        studio.on("09-01").await;
        let autumn = studio.issue(&ada, session, 5, 650, json!({ "effectiveAt": "2026-10-01T00:00:00+02:00" })).await;
        studio.has(&ada, session, [9, 0, 5], [15, 1, 0, 0, 0]).await;
        studio.on("10-01").await;
        studio.has(&ada, session, [14, 0, 0], [15, 1, 0, 0, 0]).await;
        // Eleven are used: nine of January's, two of the autumn's.
        studio.on("10-10").await;
        studio.uses(&ada, session, 11).await;
        studio.has(&ada, session, [3, 0, 0], [15, 12, 0, 0, 0]).await;

        // A week from 20 October goes over the end of summer time: the 27th can be used whole, in winter time.
        studio.on("10-20").await;
        let week = json!({ "expiration": { "after": { "count": 1, "unit": "WEEK" } } });
        let short = studio.issue(&grace, class, 2, 0, week).await;
        let extended = json!({ "grantId": short, "to": { "by": { "count": 1, "unit": "DAY" } }, "reason": "Train strike" });
        let extended = studio.does("grantExtend", extended).await;
        let ends = &extended["activities"][0]["allocations"][0];
        assert_eq!((&ends["previousExpiresAt"], &ends["expiresAt"]), (&json!("2026-10-27T23:00:00Z"), &json!("2026-10-28T23:00:00Z")));
        studio.has(&grace, class, [2, 0, 0], [12, 4, 4, 0, 2]).await;
        studio.on("11-01").await;
        studio.has(&grace, class, [0, 0, 0], [12, 4, 6, 0, 2]).await;

        // Ada moves away: what is left of the autumn's is paid back.
        studio.on("12-01").await;
        studio.does("grantVoid", json!({ "grantId": autumn, "reason": "Moved away: paid back" })).await;
        studio.on("12-31").await;
        studio.has(&ada, session, [0, 0, 0], [15, 12, 0, 3, 0]).await;
        studio.has(&ada, class, [0, 0, 0], [5, 0, 3, 0, 2]).await;
        studio.has(&grace, class, [0, 0, 0], [12, 4, 6, 0, 2]).await;
        studio.has(&hedy, pass, [0, 0, 0], [8, 4, 4, 0, 0]).await;

        // Every franc is where its credits are: 1,200 used; 260 of 650 used and 390 paid back; of 250 for ten classes
        // four used, four ended, two given away.
        let query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Grant { consumed expired voided transferred costLeft { minor } } } }";
        let grants = studio.house.data(query, json!({ "ids": [sessions, autumn, classes] })).await["nodes"].clone();
        let used = |c: i64, e: i64, v: i64, t: i64| json!({ "consumed": c, "expired": e, "voided": v, "transferred": t, "costLeft": { "minor": 0 } });
        assert_eq!(grants, json!([used(10, 0, 0, 0), used(2, 0, 3, 0), used(4, 4, 0, 2)]));
        assert_eq!(cost_by_kind(&studio, &ada, "CONSUME").await + cost_by_kind(&studio, &ada, "CAPTURE").await, 120_000 + 26_000 + 2_500);
        assert_eq!(cost_by_kind(&studio, &ada, "VOID").await, 39_000);
        assert_eq!(cost_by_kind(&studio, &grace, "CONSUME").await + cost_by_kind(&studio, &grace, "CAPTURE").await, 10_000);
        // Six ended in April and came back; four ended for good.
        assert_eq!(cost_by_kind(&studio, &grace, "EXPIRE").await - cost_by_kind(&studio, &grace, "REVIVE").await, 10_000);
        assert_eq!(cost_by_kind(&studio, &grace, "TRANSFER_OUT").await, 5_000);
        // Each kind of activity happened, and each has its event.
        let events = studio.house.data("{ events(first: 100) { nodes { name } } }", json!({})).await;
        let events = events["events"]["nodes"].as_array().expect("events").iter().map(|event| event["name"].clone());
        let events = events.filter(|name| name.as_str().is_some_and(|name| name.starts_with("credits.")));
        let names = events.map(|name| name.as_str().expect("a name").to_owned()).collect::<std::collections::BTreeSet<_>>();
        let happened = [
            "captured", "consumed", "expired", "extended", "held", "issued", "lapsed", "released", "reversed", "revived",
            "transferred_in", "transferred_out", "voided",
        ];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), happened.map(|name| format!("credits.{name}")));
        studio.house.assert_verified().await;
    }
}

async fn cost_by_kind(studio: &Studio, customer: &str, kind: &str) -> i64 {
    let query = format!(
        "query($id: ID!) {{ customer(by: {{ id: $id }}) {{ activity(first: 100, kinds: [{kind}]) {{ nodes {{
        allocations {{ cost {{ minor }} }} }} }} }} }}"
    );
    let data = studio.house.data(&query, json!({ "id": customer })).await;
    let nodes = data["customer"]["activity"]["nodes"].as_array().expect("nodes").clone();
    let costs = nodes.iter().flat_map(|node| node["allocations"].as_array().expect("allocations").clone());
    costs.map(|allocation| allocation["cost"]["minor"].as_i64().expect("a number")).sum()
}
