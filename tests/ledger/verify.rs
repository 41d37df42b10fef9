//! What is altered in the database is found and named.

use std::sync::Mutex;

use scrip::domain::credits::verify;
use serde_json::json;

use crate::harness::{Backend, House};
use crate::on_both;

/// A ledger with a little of everything: two customers, gifts and paid credits, uses, an end, notes.
async fn fill(house: &House) -> String {
    let credit_type = house.credit_type("Class", json!({ "never": true })).await;
    let (ada, grace) = (house.customer("Ada").await, house.customer("Grace").await);
    for customer in [&ada, &grace] {
        let cost = json!({ "minor": 5000, "currency": "CHF" });
        let note = "Package of five";
        house
            .issue(
                json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "cost": cost, "note": note }),
            )
            .await;
        let end = json!({ "at": "2026-03-02T00:00:00Z" });
        house
            .issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2, "expiration": end }))
            .await;
    }
    house.set_clock("2026-03-03T00:00:00Z");
    for _ in 0..3 {
        house
            .consume(json!({ "customerId": ada, "creditTypeId": credit_type, "amount": 1, "internalNote": "on time" }))
            .await;
    }
    ada
}

/// Alters the database, and answers what is found.
async fn findings_after(house: &House, sql: &str) -> Vec<String> {
    fill(house).await;
    house.assert_verified().await;
    assert!(house.tamper(sql).await > 0, "{sql} changed nothing");
    let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
    report.findings.into_iter().map(|finding| finding.what).collect()
}

fn assert_found(findings: &[String], what: &str) {
    assert!(findings.iter().any(|finding| finding.contains(what)), "{what:?} is not in {findings:#?}");
}

on_both! {
    async fn an_untouched_ledger_is_clean(house: House) {
        fill(&house).await;
        let told = Mutex::new(Vec::new());
        let tell = |more, of| told.lock().expect("nobody panics").push((more, of));
        let report = verify::verify(&house.staff(), tell).await.expect("a report");
        assert_eq!((report.wallets, report.activities), (2, 8));
        let mut told = told.into_inner().expect("nobody panics");
        assert_eq!(told[0], (0, 8), "before the first wallet");
        told.sort_unstable();
        assert_eq!(told[1..], [(2, 8), (6, 8)]);
        assert_eq!(report.findings, []);
    }

    async fn a_changed_amount_is_found(house: House) {
        let sql = "UPDATE activity SET amount = -2, balance_after = balance_after - 1 WHERE sequence = 5";
        let found = findings_after(&house, sql).await;
        assert_found(&found, "moves -2, its allocations add up to 1");
        assert_found(&found, "does not carry the hash of what it says");
    }

    async fn a_deleted_activity_is_found(house: House) {
        fill(&house).await;
        house.tamper("DELETE FROM allocation WHERE activity_id IN (SELECT id FROM activity WHERE sequence = 4)").await;
        house.tamper("DELETE FROM activity WHERE sequence = 4").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        let found = report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>();
        assert_found(&found, "activity 3 is followed by 5");
        assert_found(&found, "does not carry the hash");
        assert_found(&found, "has remaining 2, its activities add up to 3");
    }

    async fn a_cut_tail_is_found(house: House) {
        fill(&house).await;
        house.tamper("DELETE FROM allocation WHERE activity_id IN (SELECT id FROM activity WHERE sequence = 6)").await;
        house.tamper("DELETE FROM activity WHERE sequence = 6").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        let found = report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>();
        assert_found(&found, "the wallet counts 6 activities, the last one is number 5");
        assert_found(&found, "the wallet's head is not the hash of its last activity");
    }

    async fn a_changed_balance_is_found(house: House) {
        let found = findings_after(&house, "UPDATE wallet SET balance = balance + 1, issued = issued + 1").await;
        assert_found(&found, "the wallet's balance is 3, its activities add up to 2");
        assert_found(&found, "the wallet's issued is 8, its activities add up to 7");
    }

    async fn a_changed_grant_is_found(house: House) {
        let sql = "UPDATE credit_grant SET remaining = remaining + 1, consumed = consumed - 1 WHERE consumed > 0";
        assert_found(&findings_after(&house, sql).await, "has remaining 3, its activities add up to 2");
    }

    async fn changed_terms_are_found(house: House) {
        let found = findings_after(&house, "UPDATE credit_grant SET priority = 1 WHERE consumed > 0").await;
        assert_found(&found, "does not carry the hash of what it says");
    }

    async fn a_changed_cost_is_found(house: House) {
        let sql = "UPDATE credit_grant SET cost_left = cost_left - 1, cost_consumed = cost_consumed + 1 WHERE consumed > 0";
        assert_found(&findings_after(&house, sql).await, "has cost left 1999, its activities add up to 2000");
    }

    async fn a_broken_chain_is_found(house: House) {
        let hash = match house.backend {
            Backend::Sqlite => "zeroblob(32)",
            Backend::Postgres => "decode(repeat('00', 32), 'hex')",
        };
        let found = findings_after(&house, &format!("UPDATE activity SET hash = {hash} WHERE sequence = 2")).await;
        assert_found(&found, "does not carry the hash of what it says");
    }

    async fn a_changed_note_is_found_and_an_erased_one_is_fine(house: House) {
        let found = findings_after(&house, "UPDATE activity SET note = 'Package of six' WHERE note IS NOT NULL").await;
        assert_found(&found, "has another note than it was written with");
        house.tamper("UPDATE activity SET note = NULL, internal_note = NULL, note_salt = NULL").await;
        house.assert_verified().await;
    }

    async fn an_invented_grant_is_found(house: House) {
        let columns = "customer_id, credit_type_id, amount, remaining, held, consumed, expired, voided, transferred,
            open, priority, promotional, effective_at, expires_at, expiration, period_count, period_unit, period_from,
            expires_on, time_zone, first_used_at, cost, cost_left, cost_held, cost_consumed, cost_expired, cost_voided,
            cost_transferred, currency, source, metadata, created_at";
        // The wallet's key with its last two parts changed round: an id that nothing else has.
        let sql = format!(
            "INSERT INTO credit_grant (account_id, id, {columns}) SELECT account_id, credit_type_id, {columns}
             FROM credit_grant WHERE consumed > 0"
        );
        assert_found(&findings_after(&house, &sql).await, "no activity issued");
    }

    /// A flag that hides credits, or a hold, is a changed balance.
    async fn a_changed_flag_is_found(house: House) {
        let ada = fill(&house).await;
        let class = house.data("{ creditTypes(first: 1) { nodes { id } } }", json!({})).await["creditTypes"]["nodes"][0]["id"].clone();
        let hold = json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "expiresAt": "2026-03-09T00:00:00Z" });
        house.ledger("holdPlace", hold).await;
        // As somebody could who has the database's password.
        let (before, no) = match house.backend {
            Backend::Sqlite => ("PRAGMA ignore_check_constraints = ON; ", "0"),
            Backend::Postgres => {
                house.tamper("ALTER TABLE credit_grant DROP CONSTRAINT credit_grant_open").await;
                house.tamper("ALTER TABLE hold DROP CONSTRAINT hold_check1").await;
                ("", "false")
            }
        };
        house.tamper(&format!("{before}UPDATE credit_grant SET open = {no} WHERE remaining > 0")).await;
        house.tamper(&format!("{before}UPDATE hold SET open = {no}")).await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        let found = report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>();
        assert_found(&found, "is used up, its activities say that it is open");
        assert_found(&found, "is marked as closed");
    }

    /// What no wallet leads to is not overlooked.
    async fn what_belongs_to_no_wallet_is_found(house: House) {
        let copied = "INSERT INTO allocation (account_id, activity_id, position, grant_id, amount, cost)
            SELECT account_id, grant_id, 77, grant_id, 5, 0 FROM allocation WHERE position = 0 AND amount = (SELECT MAX(amount) FROM allocation)";
        let found = if house.backend == Backend::Sqlite {
            findings_after(&house, copied).await
        } else {
            house.tamper("ALTER TABLE allocation DROP CONSTRAINT allocation_account_id_activity_id_fkey").await;
            findings_after(&house, copied).await
        };
        assert_found(&found, "allocations are stored");
    }

    async fn a_wallet_that_is_dated_ahead_is_found(house: House) {
        let found = findings_after(&house, "UPDATE wallet SET newest_at = '2150-01-01T00:00:00+00:00'").await;
        assert_found(&found, "the wallet's newest activity is dated 2150-01-01");
    }

    async fn an_end_from_first_use_cannot_be_moved(house: House) {
        let policy = json!({ "after": { "count": 1, "unit": "MONTH", "from": "FIRST_USE" } });
        let (customer, credit_type) = (house.customer("Ada").await, house.credit_type("Pass", policy).await);
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3 })).await;
        for _ in 0..2 {
            house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        }
        house.assert_verified().await;
        house.tamper("UPDATE credit_grant SET expires_at = '2036-01-01T00:00:00+00:00'").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("ends at 2036-01-01")), "{report:?}");
        house.tamper("UPDATE allocation SET ends_after = '2036-01-01T00:00:00+00:00' WHERE ends_after IS NOT NULL").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("does not carry the hash")), "{report:?}");
        house.tamper("UPDATE credit_grant SET first_used_at = '2026-03-01T10:00:00+00:00'").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("first used at another time")), "{report:?}");
    }

    async fn a_closed_grant_cannot_be_opened(house: House) {
        let credit_type = house.credit_type("Pass", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        let issued = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 9 })).await;
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 4 })).await;
        house.ledger("grantVoid", json!({ "grantId": issued["grant"]["id"], "reason": "Withdrawn" })).await;
        house.assert_verified().await;
        house.tamper("UPDATE credit_grant SET closed = NOT closed").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("is not closed, its activities say that it is closed")), "{report:?}");
        house.tamper("UPDATE allocation SET leaves_open = NOT leaves_open").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("does not carry the hash")), "{report:?}");
    }

    async fn a_hold_cannot_be_altered(house: House) {
        let credit_type = house.credit_type("Pass", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 9 })).await;
        let place = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3, "expiresAt": "2026-03-08T00:00:00Z" });
        let first = house.ledger("holdPlace", place.clone()).await["activity"]["hold"]["id"].clone();
        house.ledger("holdPlace", place).await;
        house.ledger("holdCapture", json!({ "holdId": first, "amount": 2 })).await;
        house.assert_verified().await;
        let finds = |sql: &'static str, back: &'static str, what: &'static str| {
            let house = &house;
            async move {
                assert!(house.tamper(sql).await > 0, "{sql} changed nothing");
                let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
                let found = report.findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>();
                assert_found(&found, what);
                house.tamper(back).await;
                house.assert_verified().await;
            }
        };
        finds("UPDATE hold SET captured = 3 WHERE captured = 2", "UPDATE hold SET captured = 2 WHERE captured = 3", "its activities say Placed").await;
        finds(
            "UPDATE hold SET expires_at = '2027-03-08T00:00:00+00:00' WHERE open",
            "UPDATE hold SET expires_at = '2026-03-08T00:00:00+00:00' WHERE open",
            "does not carry the hash of what it says",
        ).await;
        finds(
            "UPDATE hold SET status = 'released', open = false, closed_at = placed_at WHERE open",
            "UPDATE hold SET status = 'open', open = true, closed_at = NULL WHERE captured = 0",
            "status: Open",
        ).await;
        finds(
            "UPDATE hold SET closed_at = expires_at WHERE captured = 2",
            "UPDATE hold SET closed_at = placed_at WHERE captured = 2",
            "its activities say Placed",
        ).await;
        house.tamper("DELETE FROM hold WHERE open").await;
        let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.iter().any(|finding| finding.what.contains("was placed, and is gone")), "{report:?}");
    }

    async fn a_moved_end_and_an_undone_use_cannot_be_altered(house: House) {
        let credit_type = house.credit_type("Pass", json!({ "after": { "count": 1, "unit": "MONTH" } })).await;
        let customer = house.customer("Ada").await;
        let issued = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 9 })).await;
        let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 4 })).await;
        house.ledger("activityReverse", json!({ "activityId": used["activity"]["id"], "amount": 1, "reason": "Ill" })).await;
        house.ledger("grantExtend", json!({ "grantId": issued["grant"]["id"], "to": { "on": "2026-12-31" }, "reason": "Ill" })).await;
        house.assert_verified().await;
        for sql in [
            "UPDATE activity SET reverses_id = NULL WHERE reverses_id IS NOT NULL",
            "UPDATE allocation SET ends_before = '2026-01-01T00:00:00+00:00' WHERE ends_before IS NOT NULL",
        ] {
            assert!(house.tamper(sql).await > 0, "{sql} changed nothing");
            let report = verify::verify(&house.staff(), |_, _| ()).await.expect("a report");
            assert!(report.findings.iter().any(|finding| finding.what.contains("does not carry the hash")), "{sql}: {report:?}");
        }
    }
}
