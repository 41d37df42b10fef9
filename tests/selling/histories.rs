//! Random histories of selling through the public door: whatever is done, and in whatever order, money and credits stay
//! tied (selling.md, S1 to S10), what a dry run said is what is done, and every past instant stays explained.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use scrip::domain::Scope;
use scrip::domain::sales::sale::{Lot, Sale, load};
use serde_json::{Value, json};

use crate::harness::{Backend, House, at, codes};
use crate::on_both;
use crate::selling::shop::{flat, id};
use crate::size;

/// Orders that are looked at in one history.
const ORDERS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum How {
    Default,
    /// So many thousandths of the order's total.
    Amount(i64),
    Credits(i64),
    Line(i64),
}

#[derive(Clone, Debug)]
enum Step {
    /// A pack of ten, one of four that ends after ten days, or both; paid by hand, by a provider, or by one that gives
    /// nothing back.
    Order {
        both: bool,
        small: bool,
        method: &'static str,
    },
    Pay {
        which: usize,
        named: bool,
    },
    Part {
        which: usize,
        share: i64,
    },
    Use {
        who: usize,
        amount: i64,
    },
    Hold {
        who: usize,
        amount: i64,
        days: i64,
    },
    Release {
        which: usize,
    },
    Capture {
        which: usize,
        amount: i64,
    },
    Transfer {
        from: usize,
        amount: i64,
    },
    Reverse {
        which: usize,
        amount: i64,
        reissue: bool,
    },
    Extend {
        which: usize,
    },
    Void {
        which: usize,
    },
    Time {
        hours: i64,
    },
    Refund {
        which: usize,
        how: How,
        used: bool,
        keep: bool,
    },
    Dispute {
        which: usize,
        outcome: &'static str,
    },
    Cancel {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::Default),
        4 => (1..1_100_i64).prop_map(How::Amount),
        2 => (1..6_i64).prop_map(How::Credits),
        2 => (1..1_100_i64).prop_map(How::Line),
    ];
    let method = prop_oneof![3 => Just("ask"), 1 => Just("succeed"), 2 => Just("no-refund")];
    let outcome = prop_oneof![3 => Just("OPENED"), 2 => Just("WON"), 2 => Just("LOST"), 2 => Just("REINSTATED")];
    let which = || 0..ORDERS;
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), method).prop_map(|(both, small, method)| Step::Order { both, small, method }),
        5 => (which(), any::<bool>()).prop_map(|(which, named)| Step::Pay { which, named }),
        2 => (which(), 100..900_i64).prop_map(|(which, share)| Step::Part { which, share }),
        4 => (0..2_usize, 1..6_i64).prop_map(|(who, amount)| Step::Use { who, amount }),
        2 => (0..2_usize, 1..5_i64, 1..9_i64).prop_map(|(who, amount, days)| Step::Hold { who, amount, days }),
        2 => (0..9_usize).prop_map(|which| Step::Release { which }),
        1 => (0..9_usize, 1..4_i64).prop_map(|(which, amount)| Step::Capture { which, amount }),
        3 => (0..2_usize, 1..8_i64).prop_map(|(from, amount)| Step::Transfer { from, amount }),
        4 => (0..9_usize, 1..4_i64, any::<bool>())
            .prop_map(|(which, amount, reissue)| Step::Reverse { which, amount, reissue }),
        2 => (0..9_usize).prop_map(|which| Step::Extend { which }),
        1 => (0..9_usize).prop_map(|which| Step::Void { which }),
        1 => (1..100_i64).prop_map(|hours| Step::Time { hours }),
        8 => (which(), how, any::<bool>(), proptest::bool::weighted(0.25))
            .prop_map(|(which, how, used, keep)| Step::Refund { which, how, used, keep }),
        3 => (which(), outcome).prop_map(|(which, outcome)| Step::Dispute { which, outcome }),
        1 => which().prop_map(|which| Step::Cancel { which }),
    ]
}

/// A house whose histories are played one after the other.
struct Shop<'a> {
    house: &'a House,
    class: String,
    ten: String,
    four: String,
    /// What was owed and earned at instants that have passed.
    books: Vec<(String, Value)>,
    /// Codes of refusals, to show what the histories meet.
    met: std::collections::BTreeMap<String, usize>,
}

/// What one history has made.
struct Story {
    people: [String; 2],
    orders: Vec<String>,
    uses: Vec<String>,
    holds: Vec<String>,
    /// Orders of which credits were left with the customer out of goodwill, or voided by hand.
    kind: Vec<bool>,
}

/// One of several, whatever number is said.
fn one_of<T>(all: &[T], which: usize) -> Option<&T> {
    all.get(which.checked_rem(all.len())?)
}

impl Story {
    fn pick(&self, which: usize) -> Option<usize> {
        which.checked_rem(self.orders.len())
    }

    fn order(&self, which: usize) -> Option<&String> {
        one_of(&self.orders, which)
    }
}

const LINES: &str = "creditType { id } sold { credits cost { minor } } deferred { credits cost { minor } }
    earned { credits cost { minor } } breakage { credits cost { minor } } voided { credits cost { minor } }
    reduced { credits cost { minor } } losses { credits cost { minor } } refunded { minor }";

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

impl Shop<'_> {
    async fn sale(&self, order: &str) -> Sale {
        let view = self.house.staff().view(Scope::OrdersWrite).await.expect("a view");
        load::now(&view, order.parse().expect("an id"), true).await.expect("a sale")
    }

    /// The books, which add up.
    async fn liability(&self, as_of: Option<&str>) -> Value {
        let query = format!("query($at: DateTime) {{ creditLiability(asOf: $at) {{ {LINES} }} }}");
        let lines = self.house.data(&query, json!({ "at": as_of })).await["creditLiability"].clone();
        for line in lines.as_array().expect("lines") {
            let cost = |pool: &str| number(&line[pool]["cost"]["minor"]);
            let credits = |pool: &str| number(&line[pool]["credits"]);
            let with_credits = ["deferred", "earned", "breakage", "voided"];
            assert_eq!(credits("sold"), with_credits.into_iter().map(credits).sum::<i64>(), "{line}");
            let all = ["deferred", "earned", "breakage", "voided", "reduced", "losses"];
            assert_eq!(cost("sold"), all.into_iter().map(cost).sum::<i64>(), "{line}");
            assert!(all.into_iter().all(|pool| cost(pool) >= 0), "{line}");
        }
        lines
    }

    /// Does something as a dry run, and then really; both say the same.
    async fn both_ways(&mut self, mutation: &str, mut input: Value) -> (Value, Value) {
        let fields = "preview { amount { minor } credits } order { id status refunded { minor } refunds { credits } }";
        input["idempotencyKey"] = json!(self.house.key());
        input["dryRun"] = json!(true);
        let said = self.house.mutate(mutation, fields, input.clone()).await;
        input["dryRun"] = json!(false);
        let done = self.house.mutate(mutation, fields, input.clone()).await;
        assert_eq!(said["userErrors"], done["userErrors"], "{mutation} {input}: the dry run and the run");
        for code in codes(&done) {
            *self.met.entry(format!("{mutation} {code}")).or_default() += 1;
        }
        if codes(&done).is_empty() {
            *self.met.entry(mutation.to_owned()).or_default() += 1;
        }
        (said["preview"].clone(), done)
    }
}

/// What the last `n` free credits of a lot cost (selling.md, S2), reckoned by itself.
fn of_last(lot: &Lot, n: i64) -> i64 {
    let grant = &lot.grant;
    let (left, short, units) = (grant.cost_left.0, grant.cost_short.0, grant.remaining.0);
    let head = if n == 0 { left } else { ((left + short) * (units - n) / units).min(left) };
    left - head
}

/// The buyer's free lots that have not ended, those that would be used last first.
fn free(sale: &Sale, now: chrono::DateTime<chrono::Utc>) -> Vec<&Lot> {
    let own = sale.lots.iter().filter(|lot| lot.grant.customer_id == sale.order.customer_id);
    let mut own = own.filter(|lot| lot.grant.remaining.0 > 0).collect::<Vec<_>>();
    assert!(own.iter().all(|lot| lot.grant.expires_at.is_none_or(|end| end > now)), "what has ended is not free");
    own.sort_by_key(|lot| (lot.grant.expires_at.is_none(), lot.grant.expires_at, lot.grant.effective_at, lot.grant.id));
    own.reverse();
    own
}

/// How many credits a refund of an amount takes: as few as reach the largest cost that is not above it.
fn fewest(sale: &Sale, now: chrono::DateTime<chrono::Utc>, mut amount: i64) -> i64 {
    let mut credits = 0;
    for lot in free(sale, now) {
        if amount <= 0 {
            break;
        }
        let reach = (0..=lot.grant.remaining.0).filter(|n| of_last(lot, *n) <= amount);
        let best = reach.map(|n| (of_last(lot, n), n)).max_by_key(|(cost, n)| (*cost, std::cmp::Reverse(*n)));
        credits += best.expect("none at all costs nothing").1;
        amount -= lot.grant.cost_left.0.min(amount);
    }
    credits
}

/// Money of an order that pays for nothing of it (S6).
fn surplus(sale: &Sale) -> i64 {
    use entity::product_order::Status::{Paid, PartiallyRefunded};
    if !matches!(sale.order.status, Paid | PartiallyRefunded) {
        return sale.kept().0;
    }
    let counts = |status| !matches!(status, entity::payment::Status::ChargedBack);
    let paid = sale.payments.iter().filter(|payment| counts(payment.status)).map(|payment| payment.amount.0);
    let back = sale.refunds.iter().map(|refund| refund.surplus_amount.0).sum::<i64>();
    (paid.sum::<i64>() - sale.order.total.0 - back).clamp(0, sale.kept().0)
}

impl Shop<'_> {
    /// What holds of an order at every time.
    async fn check(&self, order: &str, kind: bool) {
        let sale = self.sale(order).await;
        let kept = sale.kept().0;
        let costs = |lot: &Lot| lot.grant.cost_left.0 + if lot.grant.closed { 0 } else { lot.grant.cost_held.0 };
        let deferred = sale.lots.iter().map(costs).sum::<i64>();
        assert!(deferred <= kept, "S1: credits that cost {deferred}, {kept} of money is here: {sale:#?}");
        let usable = sale.lots.iter().filter(|lot| !lot.grant.frozen).map(|lot| lot.grant.remaining.0).sum::<i64>();
        assert!(kept > 0 || kind || usable == 0, "{usable} free credits, and no money: {sale:#?}");
        for payment in &sale.payments {
            assert!((0..=payment.amount.0).contains(&payment.refunded.0), "more went back than came: {payment:?}");
        }
        let refunded = sale.refunds.iter().map(|refund| refund.amount.0).sum::<i64>();
        assert_eq!(sale.order.refunded.0, refunded, "what went back is what its refunds say");
        let disputed = sale.payments.iter().any(|payment| payment.status == entity::payment::Status::Disputed);
        let frozen = sale.lots.iter().any(|lot| lot.grant.frozen);
        assert!(disputed || !frozen, "frozen, and nothing is disputed: {sale:#?}");
    }

    async fn refund(&mut self, story: &mut Story, (which, how, used, keep): (usize, How, bool, bool)) {
        let Some(which) = story.pick(which) else { return };
        let order = story.orders[which].clone();
        let before = self.sale(&order).await;
        let total = before.order.total.0;
        let mut input = json!({ "orderId": order, "reason": "Asked", "usedCredits": used, "keepCredits": keep });
        match how {
            How::Default => {}
            How::Amount(share) => input["amount"] = json!((total * share / 1_000).max(1)),
            How::Credits(credits) => input["credits"] = json!(credits),
            How::Line(share) => {
                let line = usize::from(before.lines.len() > 1 && share % 2 == 0);
                let amount = (before.lines[line].amount.0 * share / 1_000).max(1);
                input["lines"] = json!([{ "position": line, "amount": amount }]);
            }
        }
        let now = {
            let view = self.house.staff().view(Scope::OrdersWrite).await.expect("a view");
            view.now()
        };
        let (said, done) = self.both_ways("orderRefund", input.clone()).await;
        let after = self.sale(&order).await;
        if !codes(&done).is_empty() {
            assert_eq!(after.order, before.order, "a refusal changes nothing");
            return;
        }
        // A provider that refuses gives back what was taken, before the answer is given.
        let failed = after.order.refunded == before.order.refunded && said["amount"]["minor"] != 0;
        story.kind[which] |= keep;
        let paid = matches!(
            before.order.status,
            entity::product_order::Status::Paid | entity::product_order::Status::PartiallyRefunded
        );
        let nothing = before.gave_nothing().values().map(|cost| cost.0).sum::<i64>();
        let free_cost = free(&before, now).iter().map(|lot| lot.grant.cost_left.0).sum::<i64>();
        if matches!(how, How::Default) && !used && paid {
            let returnable = before.returnable().0 - surplus(&before);
            let wanted = surplus(&before) + (free_cost + nothing).min(returnable.max(0));
            assert_eq!(number(&said["amount"]["minor"]), wanted, "S3: {before:#?}");
        }
        if let (How::Amount(_), false, false, true) = (how, used, keep, paid) {
            let of_credits = (number(&input["amount"]) - surplus(&before)).max(0);
            if of_credits != free_cost + nothing {
                assert_eq!(number(&said["credits"]), fewest(&before, now, of_credits), "S2: {input} {before:#?}");
            }
        }
        if failed {
            let free_after = free(&after, now).iter().map(|lot| lot.grant.remaining.0).sum::<i64>();
            let free_before = free(&before, now).iter().map(|lot| lot.grant.remaining.0).sum::<i64>();
            assert_eq!(free_after, free_before, "S7: {input} {before:#?} {after:#?}");
            let costs = |sale: &Sale| sale.lots.iter().map(|lot| lot.grant.cost_left.0).sum::<i64>();
            assert_eq!(costs(&after), costs(&before), "S7");
            assert!(after.lots.iter().all(|lot| {
                before.lot(lot.grant.id).is_none_or(|was| was.grant.expired_marked == lot.grant.expired_marked)
            }));
            assert_eq!(after.uses, before.uses, "S7: the marks are removed");
        } else {
            let went = after.order.refunded.0 - before.order.refunded.0;
            if before.payments.iter().all(|payment| payment.provider == "manual") {
                assert_eq!(number(&said["amount"]["minor"]), went, "the dry run's amount");
                let rows = &done["order"]["refunds"];
                let rows = rows.as_array().expect("refunds").iter().skip(before.refunds.len());
                assert_eq!(number(&said["credits"]), rows.map(|row| number(&row["credits"])).sum::<i64>());
            }
        }
    }

    async fn play(&mut self, story: &mut Story, step: &Step) {
        let house = self.house;
        let class = self.class.clone();
        match step {
            Step::Order { both, small, method } => {
                if story.orders.len() == ORDERS {
                    return;
                }
                let one = if *small { &self.four } else { &self.ten };
                let mut lines = vec![json!({ "priceId": one, "quantity": 1 })];
                if *both {
                    lines.push(json!({ "priceId": if *small { &self.ten } else { &self.four }, "quantity": 2 }));
                }
                let input = json!({ "customerId": story.people[0], "lines": lines, "paymentMethod": method,
                    "idempotencyKey": house.key() });
                let placed = house.done("orderPlace", "order { id }", input).await;
                story.orders.push(id(&placed["order"]));
                story.kind.push(false);
            }
            Step::Pay { which, named } => {
                let Some(order) = story.order(*which) else { return };
                let reference = named.then(|| house.key());
                self.both_ways("orderMarkPaid", json!({ "orderId": order, "reference": reference })).await;
            }
            Step::Part { which, share } => {
                let Some(order) = story.order(*which) else { return };
                let amount = self.sale(order).await.order.total.0 * share / 1_000;
                self.both_ways("paymentRecord", json!({ "orderId": order, "amount": amount })).await;
            }
            Step::Use { who, amount } => {
                let input = json!({ "customerId": story.people[*who], "creditTypeId": class, "amount": amount });
                let used = house.consume(input).await;
                if codes(&used).is_empty() {
                    story.uses.push(id(&used["activity"]));
                }
            }
            Step::Hold { who, amount, days } => {
                let until = self.now().await + chrono::TimeDelta::days(*days);
                let input = json!({ "customerId": story.people[*who], "creditTypeId": class, "amount": amount,
                    "expiresAt": until.to_rfc3339() });
                let held = house.ledger("holdPlace", input).await;
                if codes(&held).is_empty() {
                    story.holds.push(id(&held["activity"]["hold"]));
                }
            }
            Step::Release { which } => {
                let Some(hold) = one_of(&story.holds, *which) else { return };
                house.ledger("holdRelease", json!({ "holdId": hold })).await;
            }
            Step::Capture { which, amount } => {
                let Some(hold) = one_of(&story.holds, *which) else { return };
                let captured = house.ledger("holdCapture", json!({ "holdId": hold, "amount": amount })).await;
                if codes(&captured).is_empty() {
                    story.uses.push(id(&captured["activity"]));
                }
            }
            Step::Transfer { from, amount } => {
                let input = json!({ "fromCustomerId": story.people[*from], "toCustomerId": story.people[1 - *from],
                    "creditTypeId": class, "amount": amount });
                house.ledger("creditsTransfer", input).await;
            }
            Step::Reverse { which, amount, reissue } => {
                let Some(used) = one_of(&story.uses, *which) else { return };
                let mut input = json!({ "activityId": used, "amount": amount, "reason": "Ill" });
                if *reissue {
                    (input["onExpired"], input["graceDays"]) = (json!("REISSUE"), json!(3));
                }
                house.ledger("activityReverse", input).await;
            }
            Step::Extend { which } => {
                let Some(grant) = self.some_grant(story, *which).await else { return };
                let to = json!({ "by": { "count": 20, "unit": "DAY" } });
                house.ledger("grantExtend", json!({ "grantId": grant, "to": to, "reason": "Closed" })).await;
            }
            Step::Void { which } => {
                let Some(grant) = self.some_grant(story, *which).await else { return };
                let voided = house.ledger("grantVoid", json!({ "grantId": grant, "reason": "A mistake" })).await;
                if codes(&voided).is_empty() && which % 2 == 0 {
                    let back = json!({ "activityId": voided["activity"]["id"], "reason": "None" });
                    house.ledger("activityReverse", back).await;
                }
            }
            Step::Time { hours } => {
                let now = self.now().await;
                self.books.push((now.to_rfc3339(), self.liability(None).await));
                let to = now + chrono::TimeDelta::hours(*hours);
                for _ in 0..20 {
                    if house.advance(&to.to_rfc3339()).await["arrived"] == true {
                        break;
                    }
                }
            }
            Step::Refund { which, how, used, keep } => self.refund(story, (*which, *how, *used, *keep)).await,
            Step::Dispute { which, outcome } => {
                let Some(order) = story.order(*which) else { return };
                let sale = self.sale(order).await;
                let manual = sale.payments.iter().rev().find(|payment| payment.provider == "manual");
                let Some(payment) = manual.map(|payment| payment.id.to_string()) else { return };
                let input = json!({ "paymentId": payment, "outcome": outcome });
                let (said, done) = self.both_ways("disputeRecord", input).await;
                if codes(&done).is_empty() && *outcome == "OPENED" {
                    let frozen = |sale: &Sale| -> i64 {
                        sale.lots.iter().filter(|lot| lot.grant.frozen).map(|lot| lot.grant.remaining.0).sum()
                    };
                    let after = self.sale(order).await;
                    assert_eq!(number(&said["credits"]), frozen(&after) - frozen(&sale));
                }
            }
            Step::Cancel { which } => {
                let Some(order) = story.order(*which) else { return };
                self.both_ways("orderCancel", json!({ "orderId": order })).await;
            }
        }
    }

    async fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.house.staff().view(Scope::OrdersWrite).await.expect("a view").now()
    }

    async fn some_grant(&self, story: &Story, which: usize) -> Option<String> {
        let sale = self.sale(story.order(which)?).await;
        sale.lots.get(which % sale.lots.len().max(1)).map(|lot| lot.grant.id.to_string())
    }
}

/// Plays histories one after the other; answers what they met.
pub async fn play(house: &House, histories: usize) -> std::collections::BTreeMap<String, usize> {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let product = |slug: &str, per: i64| json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": class, "creditsPerUnit": per });
    let ten = house
        .on_sale(product("ten", 10), json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(10_000) } } }))
        .await
        .1;
    let ends = json!({ "after": { "count": 10, "unit": "DAY" } });
    let price = json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(3_333) } }, "expiration": ends });
    let four = house.on_sale(product("four", 4), price).await.1;
    let mut shop = Shop { house, class, ten, four, books: Vec::new(), met: std::collections::BTreeMap::new() };
    let mut runner = TestRunner::deterministic();
    for number in 0..histories {
        let steps = proptest::collection::vec(step(), 20..40).new_tree(&mut runner).expect("steps").current();
        let people =
            [house.customer(&format!("Buyer {number}")).await, house.customer(&format!("Friend {number}")).await];
        let mut story = Story { people, orders: Vec::new(), uses: Vec::new(), holds: Vec::new(), kind: Vec::new() };
        let first = Step::Order { both: number % 3 == 0, small: number % 2 == 0, method: "ask" };
        let begin = [first, Step::Pay { which: 0, named: false }];
        let steps = begin.into_iter().chain(steps).collect::<Vec<_>>();
        for (at, step) in steps.iter().enumerate() {
            let told = std::panic::AssertUnwindSafe(async {
                shop.play(&mut story, step).await;
                for (order, kind) in story.orders.iter().zip(&story.kind) {
                    shop.check(order, *kind).await;
                }
            });
            let told = futures_util::FutureExt::catch_unwind(told).await;
            if let Err(panic) = told {
                eprintln!("history {number}, step {at}, {step:?}, of {:#?}", &steps[..=at]);
                std::panic::resume_unwind(panic);
            }
        }
        shop.liability(None).await;
    }
    for (as_of, lines) in &shop.books {
        assert_eq!(shop.liability(Some(as_of)).await, *lines, "the books as of {as_of}");
    }
    house.assert_verified().await;
    shop.met
}

/// A sandbox that is settled by the provider that rehearses.
pub async fn house(house: House) -> House {
    let house = house.sandbox("histories", "2026-03-01T09:00:00Z").await;
    house.by_owner("accountUpdate", "account { id }", json!({ "paymentProvider": "rehearsal" })).await;
    assert_eq!(house.now(), at("2026-03-01T09:00:00Z"));
    house
}

on_both! {
    async fn money_and_credits_stay_tied(house: House) {
        let house = self::house(house).await;
        let met = play(&house, size(30, 500)).await;
        println!("{met:#?}");
        for wanted in ["orderRefund", "orderRefund CREDITS_USED", "orderRefund MORE_THAN_PAID", "disputeRecord", "paymentRecord",
            "orderRefund NOTHING_TO_REFUND", "orderRefund CREDITS_HELD", "orderRefund PAYMENT_DISPUTED", "orderMarkPaid"] {
            assert!(met.contains_key(wanted), "no history meets {wanted}: {met:#?}");
        }
    }
}
