//! Money and cost add up, to the minor unit, for any sequence of orders, uses, returns and partial refunds.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::id;

/// Histories on each database.
const HISTORIES: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Order { quantity: i64, graduated: bool },
    Use(i64),
    Return(i64),
    Refund { which: usize, part: Option<i64>, used: bool, keep: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_i64..12, any::<bool>()).prop_map(|(quantity, graduated)| Step::Order { quantity, graduated }),
        4 => (1_i64..6).prop_map(Step::Use),
        1 => (1_i64..3).prop_map(Step::Return),
        3 => (0_usize..6, proptest::option::of(1_i64..1_000), any::<bool>(), any::<bool>())
            .prop_map(|(which, part, used, keep)| Step::Refund { which, part, used, keep }),
    ]
}

const READ: &str = "query($id: ID!) { order(id: $id) { status total { minor } refunded { minor }
    lines { amount { minor } credits }
    fulfilment { grant { amount remaining held consumed expired voided cost { minor } costLeft { minor } } }
    payments { amount { minor } refunded { minor } } refunds { amount { minor } credits } } }";

fn sum(values: &Value, path: &[&str]) -> i64 {
    let number = |value: &Value| path.iter().fold(value, |value, key| &value[*key]).as_i64().expect("a number");
    values.as_array().expect("a list").iter().map(number).sum()
}

/// What holds of every order at every time.
async fn check(house: &House, order: &str, steps: &[Step]) -> Value {
    let read = house.data(READ, json!({ "id": order })).await["order"].clone();
    let (total, refunded) =
        (read["total"]["minor"].as_i64().expect("money"), read["refunded"]["minor"].as_i64().expect("money"));
    assert_eq!(sum(&read["lines"], &["amount", "minor"]), total, "{steps:?}");
    assert_eq!(
        sum(&read["fulfilment"], &["grant", "cost", "minor"]),
        total,
        "the grants cost what the order did: {steps:?}"
    );
    assert_eq!(sum(&read["fulfilment"], &["grant", "amount"]), sum(&read["lines"], &["credits"]), "{steps:?}");
    assert_eq!(sum(&read["payments"], &["amount", "minor"]), total, "{steps:?}");
    assert_eq!(sum(&read["payments"], &["refunded", "minor"]), refunded, "{steps:?}");
    assert_eq!(sum(&read["refunds"], &["amount", "minor"]), refunded, "{steps:?}");
    assert!((0..=total).contains(&refunded), "{steps:?}");
    let wanted = if refunded == 0 {
        "PAID"
    } else if refunded == total {
        "REFUNDED"
    } else {
        "PARTIALLY_REFUNDED"
    };
    assert_eq!(read["status"], wanted, "{steps:?}");
    read
}

async fn refund(house: &House, order: &str, (part, used, keep): (Option<i64>, bool, bool), steps: &[Step]) {
    let before = check(house, order, steps).await;
    let total = before["total"]["minor"].as_i64().expect("money");
    let paid = total - before["refunded"]["minor"].as_i64().expect("money");
    let free = sum(&before["fulfilment"], &["grant", "costLeft", "minor"]);
    let remaining = sum(&before["fulfilment"], &["grant", "remaining"]);
    let amount = part.map(|part| (total * part / 700).max(1));
    let input = json!({ "amount": amount, "usedCredits": used, "keepCredits": keep });
    let answer = house.refund(order, input).await;
    let wanted = amount.unwrap_or(if used { paid } else { free.min(paid) });
    let refused = match codes(&answer).first() {
        Some(&"ORDER_NOT_PAID") => before["status"] == "REFUNDED",
        Some(&"INVALID") => keep && amount.is_none(),
        Some(&"MORE_THAN_PAID") => wanted > paid,
        Some(&"CREDITS_USED") => wanted > free && !used,
        Some(&"NOTHING_TO_REFUND") => wanted == 0,
        Some(code) => panic!("{code}: {steps:?}"),
        None => false,
    };
    let after = check(house, order, steps).await;
    let went =
        after["refunded"]["minor"].as_i64().expect("money") - before["refunded"]["minor"].as_i64().expect("money");
    let left = sum(&after["fulfilment"], &["grant", "remaining"]);
    if codes(&answer).is_empty() {
        assert!(wanted <= paid && (wanted <= free || used), "{wanted} of {free}, {paid}: {steps:?}");
        assert_eq!(went, wanted, "{steps:?}");
        let free_after = sum(&after["fulfilment"], &["grant", "costLeft", "minor"]);
        assert_eq!(free_after, free - wanted.min(free), "what is free costs as much less: {steps:?}");
        if keep {
            assert_eq!(left, remaining, "{steps:?}");
        } else if amount.is_none() {
            assert_eq!(left, 0, "{steps:?}");
        }
    } else {
        assert!(refused, "{:?}: {wanted} of {free} free, {paid} paid: {steps:?}", codes(&answer));
        assert_eq!((went, left), (0, remaining), "a refusal changes nothing: {steps:?}");
    }
}

async fn history(house: &House, number: usize, prices: &[String; 2], class: &str, steps: &[Step]) -> i64 {
    let customer = house.customer(&format!("Customer {number}")).await;
    let (mut orders, mut uses, mut paid) = (Vec::new(), Vec::new(), 0);
    for step in steps {
        match step {
            Step::Order { quantity, graduated } => {
                let order = house.bought(&customer, &prices[usize::from(*graduated)], *quantity).await;
                paid += order["total"]["minor"].as_i64().expect("money");
                orders.push(id(&order));
            }
            Step::Use(amount) => {
                let input = json!({ "customerId": customer, "creditTypeId": class, "amount": amount });
                let consumed = house.consume(input).await;
                if codes(&consumed).is_empty() {
                    uses.push(id(&consumed["activity"]));
                }
            }
            Step::Return(amount) => {
                if let Some(used) = uses.last() {
                    let input = json!({ "activityId": used, "amount": amount, "reason": "Ill" });
                    house.ledger("activityReverse", input).await;
                }
            }
            Step::Refund { which, part, used, keep } => {
                if let Some(order) = which.checked_rem(orders.len()).map(|which| &orders[which]) {
                    refund(house, order, (*part, *used, *keep), steps).await;
                }
            }
        }
    }
    for order in &orders {
        check(house, order, steps).await;
    }
    paid
}

on_both! {
    async fn any_sequence_adds_up(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let tiers = json!([{ "from": 1, "upTo": 3, "unitAmount": 1_001 }, { "from": 4, "upTo": 7, "unitAmount": 833, "flatAmount": 7 }, { "from": 8, "unitAmount": 777 }]);
        let mut prices = Vec::new();
        for (slug, mode) in [("volume", "VOLUME"), ("graduated", "GRADUATED")] {
            let product = json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": class, "creditsPerUnit": 3 });
            prices.push(house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tierMode": mode, "tiers": tiers } } })).await.1);
        }
        let prices: [String; 2] = prices.try_into().expect("two");
        let mut runner = TestRunner::deterministic();
        let mut sold = 0;
        for number in 0..HISTORIES {
            let steps = proptest::collection::vec(step(), 4..14).new_tree(&mut runner).expect("steps").current();
            sold += history(&house, number, &prices, &class, &steps).await;
        }
        let query = "{ creditLiability { sold { cost { minor } } deferred { cost { minor } } earned { cost { minor } } breakage { cost { minor } } voided { cost { minor } } reduced { cost { minor } } losses { cost { minor } } refunded { minor } } }";
        let line = house.data(query, json!({})).await["creditLiability"][0].clone();
        let of = |pool: &str| line[pool]["cost"]["minor"].as_i64().expect("money");
        let parts = ["deferred", "earned", "breakage", "voided", "reduced", "losses"].map(of);
        assert_eq!((of("sold"), parts.into_iter().sum()), (sold, sold), "{line}");
        // And it is what the grants say, one by one.
        let mut left = 0;
        for number in 0..HISTORIES {
            let query = "query($email: String!) { customer(by: { email: $email }) { grants(first: 100) { nodes { costLeft { minor } } pageInfo { hasNextPage } } } }";
            let read = house.data(query, json!({ "email": format!("customer.{number}@example.com") })).await["customer"]["grants"].clone();
            assert_eq!(read["pageInfo"]["hasNextPage"], false);
            left += sum(&read["nodes"], &["costLeft", "minor"]);
        }
        assert_eq!(left, of("deferred"));
        house.assert_verified().await;
    }
}
