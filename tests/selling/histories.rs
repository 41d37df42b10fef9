//! Random histories of selling through the public door: whatever is done, and in whatever order, money and credits stay
//! tied (selling.md, S1 to S10), what a dry run said is what is done, and every past instant stays explained.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use scrip::domain::Scope;
use scrip::domain::sales::sale::{Sale, load};
use serde_json::{Value, json};

use crate::harness::{Backend, House, at, codes};
use crate::on_both;
use crate::selling::acts::{How, ORDERS, Step, Story, one_of, step};
use crate::selling::laws::{adds_up, check, fewest, free, surplus};
use crate::selling::shop::{flat, id};
use crate::size;

/// A house whose histories are played one after the other.
struct Shop<'a> {
    house: &'a House,
    /// Another server on the same database: each is asked in turn, and both at once what is done.
    second: House,
    turn: bool,
    class: String,
    /// The prices, one after the other; that of four is new in each history.
    prices: [String; 3],
    four: String,
    /// What was owed and earned at instants that have passed.
    books: Vec<(String, Value)>,
    /// Codes of refusals, to show what the histories meet.
    met: std::collections::BTreeMap<String, usize>,
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

    /// Nobody has more of what is limited than one may have.
    async fn check_limit(&self, story: &Story) {
        let mut had = 0;
        for order in &story.orders {
            let sale = self.sale(order).await;
            let limited = (0..).zip(&sale.lines).filter(|(_, line)| line.price.max_per_customer.is_some());
            let given = |position: i32| sale.given.iter().any(|row| row.position == position && row.grant_id.is_some());
            had += limited.filter(|(position, _)| given(*position)).count();
        }
        assert!(had <= 1, "{had} of what each may have once");
    }

    /// The books, which add up.
    async fn liability(&self, as_of: Option<&str>) -> Value {
        let query = format!("query($at: DateTime) {{ creditLiability(asOf: $at) {{ {LINES} }} }}");
        let lines = self.house.data(&query, json!({ "at": as_of })).await["creditLiability"].clone();
        lines.as_array().expect("lines").iter().for_each(adds_up);
        lines
    }

    /// Does something as a dry run, and then really, on two servers at once with one key; all say the same.
    async fn both_ways(&mut self, mutation: &str, mut input: Value) -> (Value, Value) {
        let fields = "preview { amount { minor } credits } order { id status refunded { minor } refunds { credits } }";
        input["idempotencyKey"] = json!(self.house.key());
        input["dryRun"] = json!(true);
        self.turn = !self.turn;
        let (one, other) = if self.turn { (self.house, &self.second) } else { (&self.second, self.house) };
        let said = one.mutate(mutation, fields, input.clone()).await;
        input["dryRun"] = json!(false);
        let both = (one.mutate(mutation, fields, input.clone()), other.mutate(mutation, fields, input.clone()));
        let (mut done, mut twin) = futures_util::future::join(both.0, both.1).await;
        assert_eq!(codes(&done), codes(&twin), "{mutation} {input}: two servers");
        // The one that was faster; the other repeats its answer.
        let again = |answer: &Value| answer.to_string().contains("when the idempotency key was first sent");
        if again(&done) {
            std::mem::swap(&mut done, &mut twin);
        }
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

impl Shop<'_> {
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
        match step {
            Step::Order { both, first, method } => {
                if story.orders.len() == ORDERS {
                    return;
                }
                let line = |which: usize| json!({ "priceId": self.prices[which % 3], "quantity": 1 });
                let lines = (0..=usize::from(*both)).map(|next| line(first + next)).collect::<Vec<_>>();
                self.order(story, json!({ "lines": lines, "paymentMethod": method })).await;
            }
            Step::Pay { which, named } => {
                let Some(order) = story.order(*which) else { return };
                let before = self.sale(order).await;
                let reference = named.then(|| house.key());
                let input = json!({ "orderId": order, "reference": reference });
                let (said, done) = self.both_ways("orderMarkPaid", input).await;
                if codes(&done).is_empty() && before.given.is_empty() {
                    let given = self.sale(order).await.given;
                    let given = given.iter().filter(|row| row.refusal.is_none()).map(|row| row.credits.0);
                    assert_eq!(number(&said["credits"]), given.sum::<i64>(), "S14: what the dry run promised");
                }
            }
            Step::Part { which, share } => {
                let Some(order) = story.order(*which) else { return };
                let amount = self.sale(order).await.order.total.0 * share / 1_000;
                self.both_ways("paymentRecord", json!({ "orderId": order, "amount": amount })).await;
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
            // And ordered anew: the money may come for the one, or for the other, or for both.
            Step::Cancel { which } => {
                let Some(order) = story.order(*which) else { return };
                let prices = self.sale(order).await.lines.iter().map(|line| line.price.id).collect::<Vec<_>>();
                let (_, done) = self.both_ways("orderCancel", json!({ "orderId": order })).await;
                if codes(&done).is_empty() && done["order"]["status"] == "CANCELLED" && story.orders.len() < 2 * ORDERS
                {
                    let lines = prices.iter().map(|price| json!({ "priceId": price, "quantity": 1 }));
                    let lines = lines.collect::<Vec<_>>();
                    self.order(story, json!({ "lines": lines, "paymentMethod": "ask" })).await;
                }
            }
            other => self.touch(story, other).await,
        }
    }

    /// What can be ordered no more, or not by this customer, is refused alike.
    async fn order(&mut self, story: &mut Story, mut input: Value) {
        input["customerId"] = json!(story.people[0]);
        let (_, placed) = self.both_ways("orderPlace", input).await;
        if codes(&placed).is_empty() {
            story.orders.push(id(&placed["order"]));
            story.kind.push(false);
        }
    }

    /// What is done to the credits themselves.
    async fn touch(&self, story: &mut Story, step: &Step) {
        let (house, class) = (self.house, &self.class);
        match step {
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
            _ => {}
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

/// Plays some of all histories one after the other; answers what they met.
pub async fn play(house: &House, histories: std::ops::Range<usize>) -> std::collections::BTreeMap<String, usize> {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let product = |slug: &str, per: i64| json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": class, "creditsPerUnit": per });
    let paid = |minor: i64| json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(minor) } } });
    let mut once = paid(1_000);
    once["maxPerCustomer"] = json!(1);
    let ten = house.on_sale(product("ten", 10), paid(10_000)).await.1;
    let (four, price) = house.on_sale(product("four", 4), paid(3_333)).await;
    let two = house.on_sale(product("two", 2), once).await.1;
    let mut shop = Shop {
        house,
        second: house.second().await,
        turn: false,
        class,
        prices: [ten, price, two],
        four,
        books: Vec::new(),
        met: std::collections::BTreeMap::new(),
    };
    let mut runner = TestRunner::deterministic();
    let mut next = || proptest::collection::vec(step(), 20..40).new_tree(&mut runner).expect("steps").current();
    for (number, steps) in (0..histories.end).map(|number| (number, next())).skip(histories.start) {
        let people =
            [house.customer(&format!("Buyer {number}")).await, house.customer(&format!("Friend {number}")).await];
        let mut story = Story { people, orders: Vec::new(), uses: Vec::new(), holds: Vec::new(), kind: Vec::new() };
        let last_day = (shop.now().await + chrono::TimeDelta::days(4)).date_naive();
        let price = json!({ "productId": shop.four, "paid": { "oneTime": { "currency": "CHF", "tiers": flat(3_333) } },
            "expiration": { "on": last_day }, "replacesPriceId": shop.prices[1] });
        shop.prices[1] = id(&house.done("priceCreate", "price { id }", price).await["price"]);
        let first = Step::Order { both: number % 3 == 0, first: number % 3, method: "ask" };
        let mut begin = vec![first, Step::Pay { which: 0, named: false }];
        if number % 4 == 1 {
            // All of the money went back, and then some of what was used comes back.
            let all = Step::Refund { which: 0, how: How::Default, used: true, keep: false };
            let back = Step::Reverse { which: 0, amount: 2, reissue: false };
            begin.extend([Step::Use { who: 0, amount: 1 }, Step::Use { who: 0, amount: 1 }, all, back]);
        }
        if number % 4 == 3 {
            // Given up, ordered anew, and then the money comes for both.
            let once = Step::Order { both: false, first: 2, method: "ask" };
            let late = [Step::Pay { which: 0, named: true }, Step::Pay { which: 1, named: false }];
            begin = [once, Step::Cancel { which: 0 }].into_iter().chain(late).collect();
        }
        let steps = begin.into_iter().chain(steps).collect::<Vec<_>>();
        for (at, step) in steps.iter().enumerate() {
            let told = std::panic::AssertUnwindSafe(async {
                shop.play(&mut story, step).await;
                for (order, kind) in story.orders.iter().zip(&story.kind) {
                    check(&shop.sale(order).await, *kind);
                }
                shop.check_limit(&story).await;
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
        let met = play(&house, 0..size(8, 500)).await;
        println!("{met:#?}");
        for wanted in ["orderRefund", "orderRefund CREDITS_USED", "orderRefund MORE_THAN_PAID", "disputeRecord", "paymentRecord",
            "orderRefund ORDER_NOT_PAID", "orderMarkPaid", "orderCancel", "orderPlace LIMIT_PER_CUSTOMER"] {
            assert!(met.contains_key(wanted), "no history meets {wanted}: {met:#?}");
        }
    }
}
