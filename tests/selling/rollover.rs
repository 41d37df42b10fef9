//! Rollover caps (selling.md, S11): what was set aside or used over a renewal, and comes back, falls under its cap.

use chrono::TimeDelta;
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::id;

/// A sandbox with a plan of ten a month, of which at most two roll over; paid by hand, or at once.
struct Studio {
    house: House,
    class: String,
    price: String,
    product: String,
}

impl Studio {
    async fn new(house: House, slug: &str, by_hand: bool) -> Self {
        let house = house.sandbox(slug, "2026-01-05T09:00:00Z").await;
        let provider = if by_hand { "manual" } else { "rehearsal" };
        house
            .by_owner(
                "accountUpdate",
                "account { id }",
                json!({ "paymentProvider": provider, "renewalDueDays": 90, "renewalGraceDays": 90 }),
            )
            .await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
        let (product, price) = house.on_sale(product, json!({ "paid": plan(&json!({ "upTo": 2 })) })).await;
        Self { house, class, price, product }
    }

    /// Somebody with ten of the first period; the customer and the subscription.
    async fn member(&self, name: &str) -> (String, String) {
        let ada = self.house.customer(name).await;
        let input = json!({ "customerId": ada, "lines": [{ "priceId": self.price, "quantity": 1 }],
            "paymentMethod": "succeed", "idempotencyKey": self.house.key() });
        let order =
            self.house.done("orderPlace", "order { id status subscription { id } }", input).await["order"].clone();
        if order["status"] == "AWAITING_PAYMENT" {
            self.house.pay(&id(&order)).await;
        }
        (ada, id(&order["subscription"]))
    }

    async fn hold(&self, ada: &str, amount: i64, until: &str) -> String {
        let input = json!({ "customerId": ada, "creditTypeId": self.class, "amount": amount, "expiresAt": until });
        id(&self.house.ledger("holdPlace", input).await["activity"]["hold"])
    }

    async fn consume(&self, ada: &str, amount: i64) -> String {
        let input = json!({ "customerId": ada, "creditTypeId": self.class, "amount": amount });
        id(&self.house.consume(input).await["activity"])
    }

    async fn free(&self, ada: &str) -> Value {
        self.house.balance(ada).await["available"].clone()
    }

    async fn reverse(&self, activity: &str, amount: i64) {
        let undone = self
            .house
            .ledger("activityReverse", json!({ "activityId": activity, "amount": amount, "reason": "Ill" }))
            .await;
        assert_eq!(codes(&undone), Vec::<&str>::new(), "{undone}");
    }

    /// The order of a period.
    async fn order_of(&self, subscription: &str, number: i64) -> String {
        let query =
            "query($id: ID!) { subscription(id: $id) { renewals(first: 100) { nodes { number order { id } } } } }";
        let all =
            self.house.data(query, json!({ "id": subscription })).await["subscription"]["renewals"]["nodes"].clone();
        let found =
            all.as_array().expect("periods").iter().find(|period| period["number"] == number).expect("a period");
        id(&found["order"])
    }
}

fn plan(rollover: &Value) -> Value {
    json!({ "subscription": { "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": 5_000 }],
        "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 10, "rollover": rollover } })
}

on_both! {
    /// Ten held over the renewal and all released: 12. Ten used before it and all reversed: 12. Five and five as well; and
    /// what lapses by itself, though no job has written it.
    async fn what_comes_back_after_a_renewal_falls_under_its_cap(house: House) {
        let studio = Studio::new(house, "caps", false).await;
        let (ada, bob, cleo, dan) = (studio.member("Ada").await.0, studio.member("Bob").await.0, studio.member("Cleo").await.0, studio.member("Dan").await.0);
        let held = studio.hold(&ada, 10, "2026-02-20T09:00:00Z").await;
        let used = studio.consume(&bob, 10).await;
        let (part, rest) = (studio.consume(&cleo, 5).await, studio.hold(&cleo, 5, "2026-02-20T09:00:00Z").await);
        studio.hold(&dan, 8, "2026-02-07T09:00:00Z").await;
        studio.house.advance("2026-02-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 10);
        assert_eq!(studio.free(&dan).await, 10, "the two that were free gave way to what is set aside");
        studio.house.ledger("holdRelease", json!({ "holdId": held })).await;
        assert_eq!(studio.free(&ada).await, 12);
        studio.reverse(&used, 6).await;
        assert_eq!(studio.free(&bob).await, 12);
        studio.reverse(&used, 4).await;
        assert_eq!(studio.free(&bob).await, 12, "the allowance is used up");
        studio.house.ledger("holdCapture", json!({ "holdId": rest, "amount": 4 })).await;
        assert_eq!(studio.free(&cleo).await, 11, "captures use no allowance, what they leave does");
        studio.reverse(&part, 5).await;
        assert_eq!(studio.free(&cleo).await, 12);
        studio.house.advance("2026-02-08T09:00:00Z").await;
        assert_eq!(studio.free(&dan).await, 12);
        // What is drawn after the renewal, and comes back, is not of before.
        let later = studio.consume(&bob, 12).await;
        studio.reverse(&later, 12).await;
        assert_eq!(studio.free(&bob).await, 12);
        studio.house.assert_verified().await;
    }

    /// Each later renewal has a cap of its own; what was drawn before both falls under both.
    async fn later_renewals_have_their_own(house: House) {
        let studio = Studio::new(house, "caps-twice", false).await;
        let ada = studio.member("Ada").await.0;
        let used = studio.consume(&ada, 10).await;
        studio.house.advance("2026-02-05T09:00:01Z").await;
        let again = studio.consume(&ada, 10).await;
        studio.house.advance("2026-03-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 10);
        studio.reverse(&used, 10).await;
        assert_eq!(studio.free(&ada).await, 12);
        studio.reverse(&again, 10).await;
        assert_eq!(studio.free(&ada).await, 12, "the second renewal's allowance is used up by then");
        studio.house.assert_verified().await;
    }

    /// A renewal that is never paid ends nothing; open ones may be paid in either order.
    async fn open_renewals_may_be_paid_in_either_order(house: House) {
        let studio = Studio::new(house, "caps-open", true).await;
        let (ada, first) = studio.member("Ada").await;
        let (bob, second) = studio.member("Bob").await;
        let (used, too) = (studio.consume(&ada, 7).await, studio.consume(&bob, 7).await);
        studio.house.advance("2026-03-06T09:00:00Z").await;
        assert_eq!((studio.free(&ada).await, studio.free(&bob).await), (json!(3), json!(3)), "nobody has paid, nothing ends");
        for number in [1, 2] {
            studio.house.pay(&studio.order_of(&first, number).await).await;
        }
        for number in [2, 1] {
            studio.house.pay(&studio.order_of(&second, number).await).await;
        }
        assert_eq!((studio.free(&ada).await, studio.free(&bob).await), (json!(12), json!(12)));
        studio.reverse(&used, 7).await;
        studio.reverse(&too, 7).await;
        assert_eq!((studio.free(&ada).await, studio.free(&bob).await), (json!(12), json!(12)));
        studio.house.assert_verified().await;
    }

    /// Given away before a renewal and back after it: under the cap. Given away after it: not.
    async fn what_is_given_back_falls_under_it_too(house: House) {
        let studio = Studio::new(house, "caps-friends", false).await;
        let (ada, bob) = (studio.member("Ada").await.0, studio.house.customer("Bob").await);
        let give = async |from: &str, to: &str, amount: i64| {
            let input = json!({ "fromCustomerId": from, "toCustomerId": to, "creditTypeId": studio.class, "amount": amount });
            let given = studio.house.ledger("creditsTransfer", input).await;
            assert_eq!(codes(&given), Vec::<&str>::new(), "{given}");
        };
        give(&ada, &bob, 10).await;
        studio.house.advance("2026-02-05T09:00:01Z").await;
        give(&bob, &ada, 10).await;
        assert_eq!(studio.free(&ada).await, 12);
        give(&ada, &bob, 12).await;
        give(&bob, &ada, 12).await;
        assert_eq!(studio.free(&ada).await, 12);
        studio.house.assert_verified().await;
    }

    /// Bought as staying, it stays, whatever plan comes later; and the greatest limit of the terms is the one that counts.
    async fn another_plan_cuts_nothing_that_was_bought(house: House) {
        let studio = Studio::new(house, "caps-plans", false).await;
        let make = async |rollover: Value| {
            let price = json!({ "productId": studio.product, "paid": plan(&rollover) });
            id(&studio.house.done("priceCreate", "price { id }", price).await["price"])
        };
        let (all, four) = (make(json!({ "all": true })).await, make(json!({ "upTo": 4 })).await);
        let (ada, subscription) = studio.member("Ada").await;
        let change = async |price: &str| {
            let input = json!({ "subscriptionId": subscription, "priceId": price });
            studio.house.done("subscriptionUpdate", "subscription { id }", input).await;
        };
        change(&all).await;
        studio.house.advance("2026-02-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 12, "two of the first plan, ten that stay");
        change(&four).await;
        studio.house.advance("2026-03-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 22, "two, the ten that stay, and ten of which four will");
        change(&studio.price).await;
        studio.house.advance("2026-04-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 24, "four of what was limited, the ten that stay, and ten");
        studio.house.assert_verified().await;
    }

    /// A change of plan cuts nothing: what it does not need stays until the next renewal.
    async fn a_change_now_is_no_renewal(house: House) {
        let studio = Studio::new(house, "caps-now", false).await;
        let mut smaller = plan(&json!({ "upTo": 2 }));
        smaller["subscription"]["tiers"][0]["unitAmount"] = json!(3_000);
        smaller["subscription"]["creditsPerRenewal"] = json!(5);
        let price = json!({ "productId": studio.product, "paid": smaller });
        let price = id(&studio.house.done("priceCreate", "price { id }", price).await["price"]);
        let (ada, subscription) = studio.member("Ada").await;
        let input = json!({ "subscriptionId": subscription, "priceId": price, "when": "NOW" });
        studio.house.done("subscriptionUpdate", "subscription { id }", input).await;
        assert_eq!(studio.free(&ada).await, 9, "six of ten paid for it");
        studio.house.advance("2026-02-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 7);
        studio.house.assert_verified().await;
    }

    /// What did not roll over does not come back by an extension.
    async fn an_extension_brings_back_no_more(house: House) {
        let studio = Studio::new(house, "caps-extended", false).await;
        let input = json!({ "productId": studio.product, "paid": plan(&json!({ "upTo": 2 })), "expiration": { "after": { "count": 40, "unit": "DAY" } } });
        let price = id(&studio.house.done("priceCreate", "price { id }", input).await["price"]);
        let studio = Studio { price, ..studio };
        let ada = studio.member("Ada").await.0;
        let query = "query($id: ID!) { customer(by: { id: $id }) { grants(last: 1) { nodes { id } } } }";
        let grant = studio.house.data(query, json!({ "id": ada })).await["customer"]["grants"]["nodes"][0]["id"].clone();
        studio.house.advance("2026-02-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 12);
        studio.house.advance("2026-02-20T09:00:00Z").await;
        assert_eq!(studio.free(&ada).await, 10, "the two have ended by themselves");
        let input = json!({ "grantId": grant, "to": { "on": "2026-04-30" }, "reason": "Closed" });
        studio.house.ledger("grantExtend", input).await;
        assert_eq!(studio.free(&ada).await, 12, "and come back, the other eight do not");
        studio.house.assert_verified().await;
    }

    /// What was given to somebody and came back is of the period it was bought with.
    async fn a_transfer_there_and_back_escapes_no_cap(house: House) {
        let studio = Studio::new(house, "caps-given", false).await;
        let ada = studio.member("Ada").await.0;
        let fay = studio.house.customer("Fay").await;
        for (from, to) in [(&ada, &fay), (&fay, &ada)] {
            let input = json!({ "fromCustomerId": from, "toCustomerId": to, "creditTypeId": studio.class, "amount": 10 });
            studio.house.ledger("creditsTransfer", input).await;
        }
        studio.house.advance("2026-02-05T09:00:01Z").await;
        assert_eq!(studio.free(&ada).await, 12);
        studio.house.assert_verified().await;
    }

    /// Neither capturing what was set aside, nor voiding it, before the renewal or after, leads around the cap.
    async fn neither_a_capture_nor_a_void_leads_around_it(house: House) {
        let studio = Studio::new(house, "caps-around", false).await;
        let (ada, bob) = (studio.member("Ada").await.0, studio.member("Bob").await.0);
        let held = studio.hold(&ada, 10, "2026-02-20T09:00:00Z").await;
        let grants = studio.house.data("query($id: ID!) { customer(by: { id: $id }) { grants(first: 1) { nodes { id } } } }", json!({ "id": bob })).await;
        let voided = studio.house.ledger("grantVoid", json!({ "grantId": grants["customer"]["grants"]["nodes"][0]["id"], "reason": "A mistake" })).await;
        studio.house.advance("2026-02-05T09:00:01Z").await;
        let captured = id(&studio.house.ledger("holdCapture", json!({ "holdId": held })).await["activity"]);
        studio.reverse(&captured, 10).await;
        assert_eq!(studio.free(&ada).await, 12, "they were drawn when they were set aside");
        let undone = studio.house.ledger("activityReverse", json!({ "activityId": voided["activity"]["id"], "reason": "No mistake" })).await;
        assert_eq!(codes(&undone), Vec::<&str>::new(), "{undone}");
        assert_eq!(studio.free(&bob).await, 12);
        studio.house.assert_verified().await;
    }

    /// A lapse that nobody has written counts as what it is, in balances, grants, reports and dry runs.
    async fn a_lapse_that_nobody_has_written_is_under_the_cap_too(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
        let (product, price) = house.on_sale(product, json!({ "paid": plan(&json!({ "upTo": 2 })) })).await;
        let studio = Studio { house, class, price, product };
        let house = &studio.house;
        let (ada, subscription) = studio.member("Ada").await;
        let first = studio.order_of(&subscription, 0).await;
        studio.hold(&ada, 10, &(house.now() + TimeDelta::days(40)).to_rfc3339()).await;
        let begin = house.now();
        let later = async |days: i64, work: bool| {
            house.clock.set(begin + TimeDelta::days(days));
            while work && worker::round(&house.app).await.expect("a round") > 0 {}
        };
        later(32, true).await;
        house.pay(&studio.order_of(&subscription, 1).await).await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { balances { available held totals { issued expired } }
                all: grants(first: 9) { nodes { amount remaining status } }
                usable: grants(first: 9, status: USABLE) { nodes { remaining } }
                expired: grants(first: 9, status: EXPIRED) { nodes { remaining } } }
            creditLiability { deferred { credits cost { minor } } breakage { credits cost { minor } } sold { credits } } }";
        let now = async || house.data(query, json!({ "id": ada })).await;
        let dry = async || house.refund(&first, json!({ "dryRun": true })).await["preview"].clone();
        later(41, false).await;
        let (unwritten, promised) = (now().await, dry().await);
        assert_eq!(unwritten["customer"]["balances"][0]["available"], 12, "{unwritten:#}");
        assert_eq!(unwritten["creditLiability"][0]["deferred"], json!({ "credits": 12, "cost": { "minor": 6_000 } }));
        assert_eq!(unwritten["customer"]["all"]["nodes"], json!([
            { "amount": 10, "remaining": 10, "status": "USABLE" }, { "amount": 10, "remaining": 2, "status": "USABLE" },
        ]));
        assert_eq!(promised, json!({ "amount": { "minor": 1_000 }, "credits": 2 }));
        later(41, true).await;
        assert_eq!((now().await, dry().await), (unwritten, promised.clone()), "written, it is the same");
        let run = house.refund(&first, json!({})).await;
        assert_eq!(run["order"]["refunds"][0]["amount"], promised["amount"], "{run:#}");
        house.assert_verified().await;
    }
}
