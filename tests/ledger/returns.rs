//! Giving back, giving a later end, giving away.

use scrip::domain::Error;
use scrip::domain::credits;
use scrip::domain::ledger::{Closing, Command, Void, Words};
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

async fn issue(house: &House, customer: &str, credit_type: &str, amount: i64, extra: Value) -> Value {
    let mut input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount });
    input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    house.issue(input).await["grant"]["id"].clone()
}

async fn consume(house: &House, customer: &str, credit_type: &str, amount: i64) -> Value {
    house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount })).await["activity"]["id"].clone()
}

async fn reverse(house: &House, activity: &Value, extra: Value) -> Value {
    let mut input = json!({ "activityId": activity, "reason": "The coach was ill" });
    input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    house.ledger("activityReverse", input).await
}

fn kinds(payload: &Value) -> Vec<(&str, i64)> {
    let activities = payload["activities"].as_array().expect("activities");
    activities.iter().map(|a| (a["kind"].as_str().expect("a kind"), a["amount"].as_i64().expect("a number"))).collect()
}

async fn setting(house: &House) -> (String, String) {
    (house.customer("Ada").await, house.credit_type("Class", json!({ "never": true })).await)
}

on_both! {
    async fn a_use_is_given_back_in_parts_up_to_the_whole(house: House) {
        let (ada, class) = setting(&house).await;
        let early = issue(&house, &ada, &class, 2, json!({ "priority": 1, "cost": { "minor": 500, "currency": "CHF" } })).await;
        let late = issue(&house, &ada, &class, 5, json!({ "cost": { "minor": 1000, "currency": "CHF" } })).await;
        let used = consume(&house, &ada, &class, 5).await;
        let preview = reverse(&house, &used, json!({ "amount": 1, "dryRun": true })).await;
        assert_eq!((&preview["preview"]["balanceAfter"], &preview["activity"]), (&json!(3), &json!(null)));
        // What was taken last goes back first, at its own cost.
        let first = reverse(&house, &used, json!({ "amount": 1, "idempotencyKey": "first" })).await;
        assert_eq!(first["activities"][0]["allocations"][0]["grant"]["id"], late);
        assert_eq!((&first["activities"][0]["allocations"][0]["cost"]["minor"], &first["activity"]["reason"]), (&json!(200), &json!("The coach was ill")));
        assert_eq!(reverse(&house, &used, json!({ "amount": 1, "idempotencyKey": "first" })).await["replayed"], true);
        let more = reverse(&house, &used, json!({ "amount": 5 })).await;
        assert_eq!((codes(&more), &more["userErrors"][0]["message"]), (vec!["MORE_THAN_LEFT"], &json!("5 requested, 4 left of it. Nothing was changed.")));
        let second = reverse(&house, &used, json!({ "amount": 3 })).await;
        let grants = second["activities"][0]["allocations"].as_array().expect("allocations").iter();
        assert_eq!(grants.map(|a| (a["grant"]["id"].clone(), a["amount"].clone())).collect::<Vec<_>>(), [(late, json!(2)), (early.clone(), json!(1))]);
        let rest = reverse(&house, &used, json!({})).await;
        assert_eq!((&rest["activities"][0]["allocations"][0]["grant"]["id"], &rest["balance"]["available"]), (&early, &json!(7)));
        assert_eq!(codes(&reverse(&house, &used, json!({})).await), ["ALREADY_REVERSED"]);
        let query = "query($id: ID!) { activity(id: $id) { reversedBy { amount reverses { id } } } }";
        let found = house.data(query, json!({ "id": used })).await["activity"]["reversedBy"].clone();
        assert_eq!(found.as_array().expect("reversals").iter().map(|r| r["amount"].clone()).collect::<Vec<_>>(), [json!(1), json!(3), json!(1)]);
        assert_eq!(found[0]["reverses"]["id"], used);
        house.assert_verified().await;
    }

    async fn only_what_used_credits_is_given_back(house: House) {
        let (ada, class) = setting(&house).await;
        issue(&house, &ada, &class, 2, json!({})).await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { activity { nodes { id } } } }";
        let issued = house.data(query, json!({ "id": ada })).await["customer"]["activity"]["nodes"][0]["id"].clone();
        for (activity, extra, code, field) in [
            (issued.clone(), json!({}), "NOT_REVERSIBLE", "activityId"),
            (json!("act_01h455vb4pex5vsknk084sn02q"), json!({}), "NOT_FOUND", "activityId"),
            (json!(ada), json!({}), "NOT_FOUND", "activityId"),
            (issued.clone(), json!({ "reason": "" }), "INVALID", "reason"),
            (issued.clone(), json!({ "amount": 0 }), "INVALID", "amount"),
            (issued.clone(), json!({ "onExpired": "REISSUE" }), "INVALID", "graceDays"),
            (issued.clone(), json!({ "onExpired": "REISSUE", "graceDays": 367 }), "INVALID", "graceDays"),
            (issued.clone(), json!({ "onExpired": "REISSUE", "graceDays": 10_000_000_000_i64 }), "INVALID", "graceDays"),
            (issued, json!({ "graceDays": 3 }), "INVALID", "graceDays"),
        ] {
            let refused = reverse(&house, &activity, extra).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!([field])), "{refused}");
        }
        house.assert_verified().await;
    }

    async fn what_comes_back_to_an_ended_grant_ends_or_gets_grace(house: House) {
        let (ada, class) = setting(&house).await;
        let end = json!({ "expiration": { "at": "2026-03-05T00:00:00Z" }, "priority": 3, "cost": { "minor": 900, "currency": "CHF" } });
        let grant = issue(&house, &ada, &class, 3, end).await;
        let used = consume(&house, &ada, &class, 3).await;
        house.set_clock("2026-03-20T10:00:00Z");
        let preview = reverse(&house, &used, json!({ "amount": 1, "dryRun": true })).await["preview"].clone();
        assert_eq!((&preview["balanceAfter"], &preview["lost"]), (&json!(0), &json!(1)));
        let forfeited = reverse(&house, &used, json!({ "amount": 1 })).await;
        assert_eq!(kinds(&forfeited), [("REVERSE", 1), ("EXPIRE", -1)]);
        assert_eq!(forfeited["balance"]["available"], 0);
        let reissued = reverse(&house, &used, json!({ "onExpired": "REISSUE", "graceDays": 7 })).await;
        assert_eq!(kinds(&reissued), [("REVERSE", 2), ("TRANSFER_OUT", -2), ("TRANSFER_IN", 2)]);
        assert_eq!((&reissued["activities"][2]["source"], &reissued["balance"]["available"]), (&json!("REISSUE"), &json!(2)));
        let made = reissued["activities"][2]["allocations"][0].clone();
        // Through the whole of 27 March, at whose end summer time has not begun yet in Zurich.
        assert_eq!((&made["expiresAt"], &made["cost"]["minor"]), (&json!("2026-03-27T23:00:00Z"), &json!(600)));
        let query = "query($id: ID!) { grant(id: $id) { source priority promotional amount effectiveAt origin { id } expiration { after { count unit } } } }";
        let new = house.data(query, json!({ "id": made["grant"]["id"] })).await["grant"].clone();
        assert_eq!(new, json!({
            "source": "REISSUE", "priority": 3, "promotional": false, "amount": 2, "effectiveAt": "2026-03-20T10:00:00Z",
            "origin": { "id": grant }, "expiration": { "after": { "count": 7, "unit": "DAY" } },
        }));
        house.assert_verified().await;
    }

    async fn a_grant_gets_a_later_end_and_what_had_ended_comes_back(house: House) {
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "after": { "count": 1, "unit": "MONTH" } })).await;
        let grant = issue(&house, &customer, &class, 5, json!({ "cost": { "minor": 500, "currency": "CHF" } })).await;
        consume(&house, &customer, &class, 1).await;
        let extend = |to: Value, extra: Value| {
            let mut input = json!({ "grantId": grant, "to": to, "reason": "Closed for a week" });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            house.ledger("grantExtend", input)
        };
        // 1 March and a month ends with 1 April: the first instant of the 2nd is 22:00 the day before, in summer time.
        let later = extend(json!({ "by": { "count": 1, "unit": "WEEK" } }), json!({ "idempotencyKey": "e" })).await;
        assert_eq!(kinds(&later), [("EXTEND", 0)]);
        let moved = later["activities"][0]["allocations"][0].clone();
        assert_eq!((&moved["previousExpiresAt"], &moved["expiresAt"], &moved["amount"]), (&json!("2026-04-01T22:00:00Z"), &json!("2026-04-08T22:00:00Z"), &json!(0)));
        assert_eq!(later["activity"]["reason"], "Closed for a week");
        assert_eq!(extend(json!({ "by": { "count": 1, "unit": "WEEK" } }), json!({ "idempotencyKey": "e" })).await["replayed"], true);
        for (to, code, field) in [
            (json!({ "at": "2026-02-01T00:00:00Z" }), "EXPIRATION_NOT_IN_FUTURE", json!(["to"])),
            (json!({ "at": "2026-04-08T22:00:00Z" }), "EXTENSION_NOT_LATER", json!(["to"])),
            (json!({ "on": "2026-03-31" }), "EXTENSION_NOT_LATER", json!(["to"])),
            (json!({ "by": { "count": 0, "unit": "DAY" } }), "INVALID", json!(["to", "by", "count"])),
        ] {
            let refused = extend(to, json!({})).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &field));
        }
        house.set_clock("2026-06-01T00:00:00Z");
        assert_eq!(house.balance(&customer).await["totals"]["expired"], 4);
        let preview = extend(json!({ "on": "2026-06-30" }), json!({ "dryRun": true })).await;
        assert_eq!(preview["preview"], json!({
            "draws": [{ "amount": 4, "grant": { "id": grant } }], "balanceAfter": 4,
            "wouldExpire": [{ "at": "2026-06-30T22:00:00Z", "amount": 4 }], "cost": [{ "decimal": "4.00", "currency": "CHF" }], "lost": 0,
        }));
        let revived = extend(json!({ "on": "2026-06-30" }), json!({})).await;
        assert_eq!(kinds(&revived), [("REVIVE", 4)]);
        assert_eq!(revived["balance"], json!({
            "available": 4, "held": 0, "notYetEffective": 0,
            "totals": { "issued": 5, "consumed": 1, "expired": 0, "voided": 0, "transferred": 0 },
        }));
        consume(&house, &customer, &class, 4).await;
        let nothing = extend(json!({ "on": "2026-12-31" }), json!({})).await;
        assert_eq!((codes(&nothing), &nothing["userErrors"][0]["field"]), (vec!["NOTHING_TO_EXTEND"], &json!(["grantId"])));
        house.assert_verified().await;
    }

    /// However often it is asked: an end stays within what every database and every calendar holds.
    async fn an_end_stays_within_the_calendar(house: House) {
        let (ada, class) = setting(&house).await;
        let policy = json!({ "expiration": { "after": { "count": 100, "unit": "YEAR" } } });
        let grant = issue(&house, &ada, &class, 1, policy).await;
        let extend = |dry_run: bool| {
            let to = json!({ "by": { "count": 100, "unit": "YEAR" } });
            house.ledger("grantExtend", json!({ "grantId": grant, "to": to, "reason": "Gift", "dryRun": dry_run }))
        };
        for _ in 0..2 {
            assert_eq!(codes(&extend(false).await), Vec::<&str>::new());
        }
        for dry_run in [true, false] {
            let refused = extend(dry_run).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["INVALID"], &json!(["to", "by", "count"])));
        }
        let late = json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "effectiveAt": "2350-01-01T00:00:00Z", "expiration": { "after": { "count": 100, "unit": "YEAR" } } });
        assert_eq!(codes(&house.issue(late).await), ["INVALID"]);
        // A leap second is the second after it, on both databases.
        let leap = json!({ "expiration": { "at": "2026-12-31T23:59:60Z" } });
        let grant = issue(&house, &ada, &class, 1, leap).await;
        let found = house.data("query($id: ID!) { grant(id: $id) { expiresAt } }", json!({ "id": grant })).await;
        assert_eq!(found["grant"]["expiresAt"], "2027-01-01T00:00:00Z");
        house.assert_verified().await;
    }

    async fn what_has_no_end_cannot_get_a_later_one(house: House) {
        let (ada, class) = setting(&house).await;
        let never = issue(&house, &ada, &class, 1, json!({})).await;
        let first_use = json!({ "expiration": { "after": { "count": 1, "unit": "MONTH", "from": "FIRST_USE" } } });
        let unused = issue(&house, &ada, &class, 1, first_use).await;
        for grant in [never, unused] {
            let input = json!({ "grantId": grant, "to": { "on": "2026-12-31" }, "reason": "Gift" });
            assert_eq!(codes(&house.ledger("grantExtend", input).await), ["NO_END_TO_EXTEND"]);
        }
        let input = json!({ "grantId": "grt_01h455vb4pex5vsknk084sn02q", "to": { "on": "2026-12-31" }, "reason": "Gift" });
        assert_eq!(codes(&house.ledger("grantExtend", input).await), ["NOT_FOUND"]);
        house.assert_verified().await;
    }

    async fn credits_go_to_another_customer_as_they_are(house: House) {
        let (ada, class) = setting(&house).await;
        let grace = house.customer("Grace").await;
        let first = json!({ "priority": 7, "expiration": { "on": "2026-06-30" }, "cost": { "minor": 1000, "currency": "CHF" } });
        issue(&house, &ada, &class, 3, first).await;
        let pass = json!({ "expiration": { "after": { "count": 2, "unit": "MONTH", "from": "FIRST_USE" } } });
        issue(&house, &ada, &class, 4, pass).await;
        let input = json!({ "fromCustomerId": ada, "toCustomerId": grace, "creditTypeId": class, "amount": 5, "idempotencyKey": "t", "note": "Birthday" });
        let preview = house.ledger("creditsTransfer", json!({ "fromCustomerId": ada, "toCustomerId": grace, "creditTypeId": class, "amount": 5, "dryRun": true })).await;
        assert_eq!((&preview["preview"]["balanceAfter"], &preview["preview"]["cost"]), (&json!(2), &json!([{ "decimal": "10.00", "currency": "CHF" }])));
        let done = house.ledger("creditsTransfer", input.clone()).await;
        assert_eq!(kinds(&done), [("TRANSFER_OUT", -5), ("TRANSFER_IN", 5)]);
        assert_eq!(done["activities"].as_array().expect("both").iter().map(|a| a["customer"]["name"].clone()).collect::<Vec<_>>(), ["Ada", "Grace"]);
        assert_eq!((&done["balance"]["available"], &done["balance"]["totals"]["transferred"]), (&json!(2), &json!(5)));
        assert_eq!(house.ledger("creditsTransfer", input).await["replayed"], true);
        let query = "query($id: ID!) { customer(by: { id: $id }) { grants(last: 100) { nodes {
            amount priority promotional expiresAt source cost { minor } expiration { on after { count unit from } } } } } }";
        let grants = house.data(query, json!({ "id": grace })).await["customer"]["grants"]["nodes"].clone();
        assert_eq!(grants, json!([
            { "amount": 2, "priority": 50, "promotional": true, "expiresAt": null, "source": "TRANSFER", "cost": { "minor": 0 },
              "expiration": { "on": null, "after": { "count": 2, "unit": "MONTH", "from": "FIRST_USE" } } },
            { "amount": 3, "priority": 7, "promotional": false, "expiresAt": "2026-06-30T22:00:00Z", "source": "TRANSFER", "cost": { "minor": 1000 },
              "expiration": { "on": "2026-06-30", "after": null } },
        ]));
        // What had begun to end goes on to end at the same instant.
        consume(&house, &ada, &class, 1).await;
        house.ledger("creditsTransfer", json!({ "fromCustomerId": ada, "toCustomerId": grace, "creditTypeId": class, "amount": 1 })).await;
        let newest = house.data(query, json!({ "id": grace })).await["customer"]["grants"]["nodes"][0]["expiresAt"].clone();
        assert_eq!(newest, "2026-05-01T22:00:00Z");
        house.assert_verified().await;
    }

    async fn not_everybody_can_be_given_credits(house: House) {
        let (ada, class) = setting(&house).await;
        let grace = house.customer("Grace").await;
        issue(&house, &ada, &class, 3, json!({})).await;
        let foreign = "cus_01h455vb4pex5vsknk084sn02q";
        let archive = |mutation: &str| {
            let input = json!({ "id": grace });
            let mutation = mutation.to_owned();
            let house = &house;
            async move { house.mutate(&mutation, "customer { archivedAt }", input).await }
        };
        assert_eq!(archive("customerArchive").await["customer"]["archivedAt"], "2026-03-01T09:00:00Z");
        for (to, amount, code, field) in [
            (ada.as_str(), 1, "TRANSFER_TO_SELF", "toCustomerId"),
            (foreign, 1, "NOT_FOUND", "toCustomerId"),
            (&grace, 1, "CUSTOMER_ARCHIVED", "toCustomerId"),
            (&grace, 0, "INVALID", "amount"),
        ] {
            let input = json!({ "fromCustomerId": ada, "toCustomerId": to, "creditTypeId": class, "amount": amount });
            let refused = house.ledger("creditsTransfer", input).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!([field])));
        }
        let input = json!({ "fromCustomerId": foreign, "toCustomerId": ada, "creditTypeId": class, "amount": 1 });
        let refused = house.ledger("creditsTransfer", input).await;
        assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["NOT_FOUND"], &json!(["fromCustomerId"])));
        let refused = house.issue(json!({ "customerId": grace, "creditTypeId": class, "amount": 1 })).await;
        assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["CUSTOMER_ARCHIVED"], &json!(["customerId"])));
        // Archived customers are not listed unless asked for, and can come back.
        let listed = house.data("{ customers { nodes { name } } all: customers(includeArchived: true) { nodes { name } } }", json!({})).await;
        assert_eq!((listed["customers"]["nodes"].as_array().map(Vec::len), listed["all"]["nodes"].as_array().map(Vec::len)), (Some(1), Some(2)));
        assert_eq!(archive("customerUnarchive").await["customer"]["archivedAt"], json!(null));
        let input = json!({ "fromCustomerId": ada, "toCustomerId": grace, "creditTypeId": class, "amount": 4 });
        assert_eq!(codes(&house.ledger("creditsTransfer", input).await), ["INSUFFICIENT_CREDITS"]);
        assert_eq!(house.balance(&ada).await["available"], 3);
        house.assert_verified().await;
        // Nor do credits go from one account to another, in either direction.
        let other = house.sandbox("another-studio", "2026-03-01T09:00:00Z").await;
        let (eve, session) = (other.customer("Eve").await, other.credit_type("Session", json!(null)).await);
        issue(&other, &eve, &session, 2, json!({})).await;
        for (from, to, of, field) in [
            (&eve, &ada, &session, "toCustomerId"),
            (&ada, &eve, &session, "fromCustomerId"),
            (&ada, &eve, &class, "fromCustomerId"),
        ] {
            let input = json!({ "fromCustomerId": from, "toCustomerId": to, "creditTypeId": of, "amount": 1 });
            let refused = other.ledger("creditsTransfer", input).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec!["NOT_FOUND"], &json!([field])));
        }
        assert_eq!(other.balance(&eve).await["available"], 2);
        other.assert_verified().await;
    }

    /// What lapses into a grant that was closed while all of it was held is voided wherever it is read, though nobody has
    /// written it, and for good.
    async fn what_lapses_into_a_closed_grant_is_voided(house: House) {
        let (ada, class) = (house.customer("Ada").await, house.credit_type("Class", json!({ "on": "2026-03-31" })).await);
        let issued = issue(&house, &ada, &class, 5, json!({ "cost": { "minor": 500, "currency": "CHF" } })).await;
        let hold = json!({ "customerId": ada, "creditTypeId": class, "amount": 5, "expiresAt": "2026-03-08T00:00:00Z" });
        house.ledger("holdPlace", hold).await;
        let void = |closing| Command::Void(Void {
            grant: issued.as_str().expect("an id").parse().expect("an id"),
            customer: ada.parse().expect("an id"),
            credit_type: class.parse().expect("an id"),
            reason: "Never paid".to_owned(),
            closing,
            part: None,
            words: Words::default(),
        });
        for closing in [Closing::Never, Closing::WithItsCredits] {
            let refused = credits::submit(&house.staff(), void(closing), &house.key()).await;
            assert!(matches!(refused, Err(Error::Refused(_))), "{closing:?}: nothing is free");
        }
        credits::submit(&house.staff(), void(Closing::Always), &house.key()).await.expect("it is closed");
        let read = async || {
            let query = "query($id: ID!) { creditLiability { deferred { credits } breakage { credits } voided { credits cost { minor } } }
                expiryForecast { amount } customer(by: { id: $id }) { balances { available held }
                    closed: grants(status: VOIDED) { nodes { closed voided } } usable: grants(status: USABLE) { nodes { id } }
                    usedUp: grants(status: USED_UP) { nodes { held } } } }";
            house.data(query, json!({ "id": ada })).await
        };
        let before = read().await;
        assert_eq!(before["customer"]["usedUp"]["nodes"], json!([{ "held": 5 }]));
        assert_eq!(before["creditLiability"][0]["deferred"]["credits"], 5);
        assert_eq!(before["expiryForecast"], json!([]), "it will be voided, not end");
        house.set_clock("2026-03-09T00:00:00Z");
        for written in [false, true] {
            let after = read().await;
            assert_eq!(after["creditLiability"][0], json!({ "deferred": { "credits": 0 }, "breakage": { "credits": 0 }, "voided": { "credits": 5, "cost": { "minor": 500 } } }));
            assert_eq!(after["customer"]["balances"], json!([{ "available": 0, "held": 0 }]), "{written}");
            assert_eq!(after["customer"]["closed"]["nodes"], json!([{ "closed": true, "voided": 5 }]), "{written}");
            assert_eq!((&after["customer"]["usable"]["nodes"], &after["customer"]["usedUp"]["nodes"]), (&json!([]), &json!([])));
            assert!(scrip::worker::round(&house.app).await.is_ok());
            house.assert_verified().await;
        }
    }

    /// A void is undone as a whole: cost and end as they were, and what comes back later stays (S9).
    async fn a_void_is_undone(house: House) {
        let (ada, class) = (house.customer("Ada").await, house.credit_type("Class", json!({ "on": "2026-03-31" })).await);
        let issued = issue(&house, &ada, &class, 5, json!({ "cost": { "minor": 500, "currency": "CHF" } })).await;
        let used = consume(&house, &ada, &class, 2).await;
        let void = || house.ledger("grantVoid", json!({ "grantId": issued, "reason": "Withdrawn" }));
        let voided = void().await["activity"]["id"].clone();
        assert_eq!(kinds(&reverse(&house, &used, json!({ "amount": 1 })).await), [("REVERSE", 1), ("VOID", -1)]);
        let part = reverse(&house, &voided, json!({ "amount": 2 })).await;
        assert_eq!((codes(&part), &part["userErrors"][0]["field"]), (vec!["INVALID"], &json!(["amount"])));
        let dry = reverse(&house, &voided, json!({ "dryRun": true })).await["preview"].clone();
        assert_eq!((&dry["balanceAfter"], &dry["cost"][0]["decimal"], &dry["lost"]), (&json!(3), &json!("3.00"), &json!(0)));
        let undone = reverse(&house, &voided, json!({})).await;
        assert_eq!(kinds(&undone), [("REINSTATE", 3)]);
        assert_eq!(codes(&reverse(&house, &voided, json!({})).await), ["ALREADY_REVERSED"]);
        assert_eq!(kinds(&reverse(&house, &used, json!({})).await), [("REVERSE", 1)]);
        assert_eq!(house.balance(&ada).await["available"], 4);
        let query = "{ creditLiability { sold { cost { minor } } deferred { cost { minor } } voided { cost { minor } } } }";
        let books = house.data(query, json!({})).await["creditLiability"][0].clone();
        let of = |pool: &str| books[pool]["cost"]["minor"].as_i64().expect("a cost");
        assert_eq!((of("sold"), of("deferred"), of("voided")), (500, 400, 100));
        // What has ended meanwhile ends at once, or goes on for some days.
        let second = void().await["activity"]["id"].clone();
        house.set_clock("2026-04-02T09:00:00Z");
        assert_eq!(kinds(&reverse(&house, &second, json!({})).await), [("REINSTATE", 4), ("EXPIRE", -4)]);
        let third = issue(&house, &ada, &class, 2, json!({ "expiration": { "on": "2026-04-10" } })).await;
        let gone = house.ledger("grantVoid", json!({ "grantId": third, "reason": "A slip" })).await["activity"]["id"].clone();
        house.set_clock("2026-04-12T09:00:00Z");
        let again = reverse(&house, &gone, json!({ "onExpired": "REISSUE", "graceDays": 5 })).await;
        assert_eq!(kinds(&again), [("REINSTATE", 2), ("TRANSFER_OUT", -2), ("TRANSFER_IN", 2)]);
        assert_eq!(house.balance(&ada).await["available"], 2);
        house.assert_verified().await;
    }
}
