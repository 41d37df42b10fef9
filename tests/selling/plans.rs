//! Random histories of subscriptions (selling.md, S11 to S13): the balance does not depend on the order in which open
//! renewals are paid, no sequence of changes and pauses gives more than was paid for, and what a dry run says is done.

use std::ops::Range;

use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use scrip::domain::Scope;
use scrip::domain::sales::sale::load;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::laws::check;
use crate::selling::shop::id;
use crate::size;

#[derive(Clone, Debug)]
enum Step {
    Use(i64),
    Hold {
        amount: i64,
        days: i64,
    },
    Release(usize),
    Reverse {
        which: usize,
        amount: i64,
    },
    Days(i64),
    /// All that is open: one of the twins begins with the oldest, the other with the newest.
    Pay,
    Change {
        which: usize,
        quantity: i64,
        now: bool,
    },
    Pause,
    Resume,
    Refund,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..8_i64).prop_map(Step::Use),
        3 => (1..8_i64, 1..50_i64).prop_map(|(amount, days)| Step::Hold { amount, days }),
        2 => (0..6_usize).prop_map(Step::Release),
        3 => (0..6_usize, 1..6_i64).prop_map(|(which, amount)| Step::Reverse { which, amount }),
        4 => (1..40_i64).prop_map(Step::Days),
        5 => Just(Step::Pay),
        2 => (0..4_usize, 1..3_i64, any::<bool>()).prop_map(|(which, quantity, now)| Step::Change { which, quantity, now }),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Refund),
    ]
}

const READ: &str = "query($id: ID!) { subscription(id: $id) { status nextAt
    renewals(first: 100) { nodes { number status startsAt endsAt order { id status total { minor } paid { minor } } } } } }";

/// One of two who do the same.
struct Twin {
    customer: String,
    subscription: String,
    newest_first: bool,
    uses: Vec<String>,
    holds: Vec<String>,
}

struct Studio<'a> {
    house: &'a House,
    class: String,
    plans: Vec<String>,
}

impl Studio<'_> {
    async fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.house.staff().view(Scope::OrdersWrite).await.expect("a view").now()
    }

    async fn twin(&self, name: &str, plan: &str, newest_first: bool) -> Twin {
        let customer = self.house.customer(name).await;
        let input = json!({ "customerId": customer, "lines": [{ "priceId": plan, "quantity": 1 }], "idempotencyKey": self.house.key() });
        let order = self.house.done("orderPlace", "order { id subscription { id } }", input).await["order"].clone();
        self.house.pay(&id(&order)).await;
        Twin { customer, subscription: id(&order["subscription"]), newest_first, uses: Vec::new(), holds: Vec::new() }
    }

    async fn periods(&self, twin: &Twin) -> Vec<Value> {
        let read = self.house.data(READ, json!({ "id": twin.subscription })).await["subscription"].clone();
        read["renewals"]["nodes"].as_array().expect("periods").iter().rev().cloned().collect()
    }

    /// A verb of a subscription as a dry run, and then really.
    async fn act(&self, twin: &Twin, verb: &str, mut input: Value) {
        let before = self.periods(twin).await;
        input["subscriptionId"] = json!(twin.subscription);
        input["dryRun"] = json!(true);
        let fields = "preview { charged { minor } returned } subscription { nextAt }";
        let said = self.house.mutate(verb, fields, input.clone()).await;
        input["dryRun"] = json!(false);
        let done = self.house.mutate(verb, fields, input.clone()).await;
        assert_eq!(said["userErrors"], done["userErrors"], "{verb} {input}: the dry run and the run");
        if !codes(&done).is_empty() {
            return;
        }
        let after = self.periods(twin).await;
        let new = after.iter().skip(before.len()).map(|period| &period["order"]);
        let charged = new.clone().filter(|order| order["status"] == "AWAITING_PAYMENT");
        // What credits cover is not charged: of what waits, that is not paid yet.
        let total = charged.map(|order| order["total"]["minor"].as_i64().expect("money")).sum::<i64>();
        let cost = said["preview"]["charged"]["minor"].as_i64().expect("money");
        assert!(cost <= total && (cost > 0) == (total > 0), "{verb} {input}: {said} {after:#?}");
        let now = self.now().await;
        if verb == "subscriptionResume" {
            let skips = |period: &Value| {
                period["status"] == "SKIPPED"
                    && period["endsAt"].as_str().is_some_and(|end| crate::harness::at(end) > now)
            };
            let owes = before.iter().any(|period| period["status"] == "DUE" || period["status"] == "PAST_DUE");
            assert!(owes || !after.last().is_some_and(skips), "S13: still skipped after it was resumed: {after:#?}");
        }
    }

    async fn pay(&self, twin: &Twin) {
        let mut open = self.periods(twin).await;
        open.retain(|period| period["order"]["status"] == "AWAITING_PAYMENT");
        if twin.newest_first {
            open.reverse();
        }
        for period in open {
            self.house.pay(&id(&period["order"])).await;
        }
    }

    async fn play(&self, twin: &mut Twin, step: &Step) {
        let (house, class) = (self.house, &self.class);
        match step {
            Step::Use(amount) => {
                let used = house
                    .consume(json!({ "customerId": twin.customer, "creditTypeId": class, "amount": amount }))
                    .await;
                if codes(&used).is_empty() {
                    twin.uses.push(id(&used["activity"]));
                }
            }
            Step::Hold { amount, days } => {
                let until = (self.now().await + TimeDelta::days(*days)).to_rfc3339();
                let input =
                    json!({ "customerId": twin.customer, "creditTypeId": class, "amount": amount, "expiresAt": until });
                let held = house.ledger("holdPlace", input).await;
                if codes(&held).is_empty() {
                    twin.holds.push(id(&held["activity"]["hold"]));
                }
            }
            Step::Release(which) => {
                let Some(hold) = which.checked_rem(twin.holds.len()).map(|which| &twin.holds[which]) else { return };
                house.ledger("holdRelease", json!({ "holdId": hold })).await;
            }
            Step::Reverse { which, amount } => {
                let Some(used) = which.checked_rem(twin.uses.len()).map(|which| &twin.uses[which]) else { return };
                house.ledger("activityReverse", json!({ "activityId": used, "amount": amount, "reason": "Ill" })).await;
            }
            Step::Pay => self.pay(twin).await,
            Step::Change { which, quantity, now } => {
                let when = if *now { "NOW" } else { "PERIOD_END" };
                let input =
                    json!({ "priceId": self.plans[which % self.plans.len()], "quantity": quantity, "when": when });
                self.act(twin, "subscriptionUpdate", input).await;
            }
            Step::Pause => self.act(twin, "subscriptionPause", json!({})).await,
            Step::Resume => self.act(twin, "subscriptionResume", json!({})).await,
            Step::Refund => {
                let orders = self.periods(twin).await;
                let Some(order) = orders.iter().rev().find(|period| period["order"]["status"] == "PAID") else {
                    return;
                };
                house.refund(&id(&order["order"]), json!({})).await;
            }
            Step::Days(_) => {}
        }
    }

    /// Each order gives no more than is paid for it, and a renewal that is not paid ends nothing.
    async fn check(&self, twin: &Twin) {
        let periods = self.periods(twin).await;
        if !periods.iter().any(|period| period["number"] != 0 && period["status"] == "PAID") {
            let query =
                "query($id: ID!) { customer(by: { id: $id }) { activity(first: 50) { nodes { kind reason } } } }";
            let read = self.house.data(query, json!({ "id": twin.customer })).await;
            let nodes = read["customer"]["activity"]["nodes"].as_array().expect("activities").clone();
            assert!(nodes.iter().all(|node| node["reason"] != "Not rolled over"), "S11: {nodes:#?}");
        }
        for period in periods {
            let Some(order) = period["order"]["id"].as_str() else { continue };
            let view = self.house.staff().view(Scope::OrdersWrite).await.expect("a view");
            let sale = load::now(&view, order.parse().expect("an id"), false).await.expect("a sale");
            drop(view);
            check(&sale, false);
            if period["status"] == "PAID" {
                assert!(!sale.given.is_empty(), "charged, and gave nothing: {sale:#?}");
            }
        }
    }
}

/// Plays some of all histories one after the other, each by two who differ in what they pay first.
pub async fn play(house: &House, histories: Range<usize>) {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
    let plan = |minor: i64, credits: i64, rollover: Value| {
        json!({ "subscription": { "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": minor }],
        "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": credits, "rollover": rollover } })
    };
    let (product, first) = house.on_sale(product, json!({ "paid": plan(6_000, 10, json!({ "upTo": 2 })) })).await;
    let mut plans = vec![first];
    for (minor, credits, rollover) in
        [(3_000, 5, json!({ "upTo": 3 })), (9_000, 12, json!({ "all": true })), (2_500, 4, json!({ "none": true }))]
    {
        let input = json!({ "productId": product, "paid": plan(minor, credits, rollover) });
        plans.push(id(&house.done("priceCreate", "price { id }", input).await["price"]));
    }
    let studio = Studio { house, class, plans };
    let mut runner = TestRunner::deterministic();
    for number in 0..histories.end {
        let steps = proptest::collection::vec(step(), 15..35).new_tree(&mut runner).expect("steps").current();
        if number < histories.start {
            continue;
        }
        let plan = &studio.plans[number % 2];
        let mut twins = [
            studio.twin(&format!("One {number}"), plan, false).await,
            studio.twin(&format!("Other {number}"), plan, true).await,
        ];
        for (at, step) in steps.iter().enumerate() {
            let told = std::panic::AssertUnwindSafe(async {
                if let Step::Days(days) = step {
                    let to = studio.now().await + TimeDelta::days(*days);
                    while house.advance(&to.to_rfc3339()).await["arrived"] != true {}
                }
                for twin in &mut twins {
                    studio.play(twin, step).await;
                    studio.check(twin).await;
                }
                if matches!(step, Step::Pay) {
                    let [one, other] =
                        [house.balance(&twins[0].customer).await, house.balance(&twins[1].customer).await];
                    assert_eq!(one["available"], other["available"], "in whichever order open renewals are paid");
                }
            });
            if let Err(panic) = futures_util::FutureExt::catch_unwind(told).await {
                eprintln!("history {number}, step {at}, {step:?}, of {:#?}", &steps[..=at]);
                std::panic::resume_unwind(panic);
            }
        }
    }
    house.assert_verified().await;
}

/// A sandbox where renewals may be open for long.
pub async fn house(house: House) -> House {
    let house = house.sandbox("plans", "2026-01-31T09:00:00Z").await;
    house.by_owner("accountUpdate", "account { id }", json!({ "renewalDueDays": 90, "renewalGraceDays": 90 })).await;
    house
}

on_both! {
    async fn what_is_paid_first_makes_no_difference(house: House) {
        let house = self::house(house).await;
        play(&house, 0..size(8, 200)).await;
    }
}
