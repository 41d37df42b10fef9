//! Changes of plan and quantity, pauses that outlast what was paid, with keys and dry runs (selling.md, S12, S13).

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{id, refusal};

const SUBSCRIPTION: &str = "id status quantity nextQuantity nextAt anchorAt price { id } nextPrice { id }
    renewals(first: 20) { nodes { number status startsAt endsAt order { id total { minor } paid { minor } refunded { minor } status } } }
    upcomingRenewals(first: 1) { number startsAt total { minor } }";
const PREVIEW: &str = "preview { charged { minor } returned returnedCost { minor } nextAt nextTotal { minor } }";

struct Gym {
    house: House,
    class: String,
    /// Twenty-five for 6000, and ten for 3000.
    big: String,
    small: String,
    ada: String,
    subscription: String,
}

impl Gym {
    async fn new(house: House, slug: &str, provider: &str) -> Self {
        let house = house.sandbox(slug, "2026-01-05T09:00:00Z").await;
        house.by_owner("accountUpdate", "account { id }", json!({ "paymentProvider": provider })).await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
        let plan = |minor: i64, credits: i64| {
            json!({ "subscription": { "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": minor }],
            "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": credits, "rollover": { "all": true } } })
        };
        let (product, big) = house.on_sale(product, json!({ "paid": plan(6_000, 25) })).await;
        let small = json!({ "productId": product, "paid": plan(3_000, 10) });
        let small = id(&house.done("priceCreate", "price { id }", small).await["price"]);
        let ada = house.customer("Ada").await;
        let input = json!({ "customerId": ada, "lines": [{ "priceId": big, "quantity": 1 }], "paymentMethod": "succeed", "idempotencyKey": house.key() });
        let order = house.done("orderPlace", "order { id status subscription { id } }", input).await["order"].clone();
        if order["status"] == "AWAITING_PAYMENT" {
            house.pay(&id(&order)).await;
        }
        let subscription = id(&order["subscription"]);
        Self { house, class, big, small, ada, subscription }
    }

    async fn read(&self) -> Value {
        let query = format!("query($id: ID!) {{ subscription(id: $id) {{ {SUBSCRIPTION} }} }}");
        self.house.data(&query, json!({ "id": self.subscription })).await["subscription"].clone()
    }

    /// As a dry run, and then really, with a key.
    async fn act(&self, verb: &str, mut input: Value) -> (Value, Value) {
        input["subscriptionId"] = json!(self.subscription);
        input["dryRun"] = json!(true);
        let said = self.house.mutate(verb, &format!("{PREVIEW} subscription {{ id }}"), input.clone()).await;
        input["dryRun"] = json!(false);
        input["idempotencyKey"] = json!(self.house.key());
        let fields = format!("replayed subscription {{ {SUBSCRIPTION} }}");
        let done = self.house.mutate(verb, &fields, input.clone()).await;
        assert_eq!(said["userErrors"], done["userErrors"], "{verb}");
        let again = self.house.mutate(verb, &fields, input).await;
        // What depends on nothing that is stored is no answer to remember.
        assert!(again["replayed"] == true || codes(&again) == ["INVALID"], "{again}");
        assert_eq!(said["subscription"], json!(null));
        (said["preview"].clone(), done)
    }

    async fn free(&self) -> Value {
        self.house.balance(&self.ada).await["available"].clone()
    }

    async fn consume(&self, amount: i64) {
        let input = json!({ "customerId": self.ada, "creditTypeId": self.class, "amount": amount });
        assert_eq!(codes(&self.house.consume(input).await), Vec::<&str>::new());
    }
}

fn period(subscription: &Value, number: usize) -> &Value {
    let all = subscription["renewals"]["nodes"].as_array().expect("periods");
    all.iter()
        .find(|period| period["number"] == number)
        .unwrap_or_else(|| panic!("no period {number}: {subscription:#}"))
}

on_both! {
    /// 6000 for 25, 5 used, changed at once to 3000 for 10: 12 credits go back, 120 is charged, 8 and 10 remain.
    async fn a_smaller_plan_now_is_paid_with_what_is_unused(house: House) {
        let gym = Gym::new(house, "plans-now", "rehearsal").await;
        gym.consume(5).await;
        let (said, done) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        let wanted = json!({ "charged": { "minor": 120 }, "returned": 12, "returnedCost": { "minor": 2_880 },
            "nextAt": "2026-02-05T09:00:00Z", "nextTotal": { "minor": 3_000 } });
        assert_eq!(said, wanted);
        assert_eq!(codes(&done), Vec::<&str>::new());
        assert_eq!(gym.free().await, 18);
        let now = gym.read().await;
        assert_eq!((&now["price"]["id"], &now["anchorAt"], &now["nextAt"]), (&json!(gym.small), &json!("2026-01-05T09:00:00Z"), &json!("2026-02-05T09:00:00Z")));
        let (old, new) = (&period(&now, 0)["order"], &period(&now, 1)["order"]);
        assert_eq!((&old["refunded"]["minor"], &old["status"]), (&json!(2_880), &json!("PARTIALLY_REFUNDED")));
        assert_eq!((&new["total"]["minor"], &new["paid"]["minor"], &new["status"]), (&json!(3_000), &json!(3_000), &json!("PAID")));
        // Whatever is unused goes back at what it cost, and no more money than came.
        for order in [old, new] {
            gym.house.refund(&id(order), json!({})).await;
        }
        let after = gym.read().await;
        let kept = [0, 1].map(|number| period(&after, number)["order"]["paid"]["minor"].as_i64().expect("money"));
        assert_eq!((gym.free().await, kept), (json!(0), [1_200, 0]), "five at 240 were used");
        gym.house.assert_verified().await;
    }

    /// With manual payment the old plan runs until the money is there; and if it never comes, goes on.
    async fn with_manual_payment_the_old_plan_runs_until_it_is_paid(house: House) {
        let gym = Gym::new(house, "plans-manual", "manual").await;
        gym.consume(5).await;
        gym.house.advance("2026-01-15T09:00:00Z").await;
        let (said, done) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        assert_eq!((&said["charged"]["minor"], codes(&done)), (&json!(120), Vec::new()));
        assert_eq!((gym.free().await, gym.read().await["price"]["id"].clone()), (json!(20), json!(gym.big)));
        let (_, twice) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        assert_eq!(refusal(&twice), ("SUBSCRIPTION_OWES".to_owned(), "subscriptionId".to_owned()));
        // Nobody pays: the old plan renews.
        gym.house.advance("2026-02-05T09:00:01Z").await;
        let now = gym.read().await;
        assert_eq!((&period(&now, 1)["status"], &period(&now, 2)["status"]), (&json!("CANCELLED"), &json!("DUE")));
        assert_eq!(period(&now, 2)["order"]["total"]["minor"], 6_000);
        let paid = gym.house.pay(&id(&period(&now, 2)["order"])).await;
        assert_eq!(gym.free().await, 45, "{paid:#}");
        // And another time, paid.
        gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        gym.house.advance("2026-02-09T09:00:00Z").await;
        let waits = id(&period(&gym.read().await, 3)["order"]);
        assert_eq!(gym.house.pay(&waits).await["order"]["status"], "PAID");
        let now = gym.read().await;
        assert_eq!((gym.free().await, &now["anchorAt"], &now["nextAt"]), (json!(43), &json!("2026-02-09T09:00:00Z"), &json!("2026-03-09T09:00:00Z")));
        gym.house.assert_verified().await;
    }

    async fn a_change_now_needs_what_is_set_aside_or_not(house: House) {
        let gym = Gym::new(house, "plans-held", "rehearsal").await;
        let hold = json!({ "customerId": gym.ada, "creditTypeId": gym.class, "amount": 20, "expiresAt": "2026-01-20T00:00:00Z" });
        let hold = gym.house.ledger("holdPlace", hold).await;
        let (_, refused) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        assert_eq!(refusal(&refused).0, "CREDITS_HELD");
        gym.house.ledger("holdRelease", json!({ "holdId": hold["activity"]["hold"]["id"] })).await;
        gym.act("subscriptionPause", json!({})).await;
        let (_, paused) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        assert_eq!(refusal(&paused).0, "SUBSCRIPTION_STATUS");
        gym.act("subscriptionResume", json!({})).await;
        let (_, nothing) = gym.act("subscriptionUpdate", json!({ "when": "NOW" })).await;
        assert_eq!(refusal(&nothing), ("INVALID".to_owned(), "when".to_owned()));
        gym.house.assert_verified().await;
    }

    /// Quantity and plan change together, at the period's end.
    async fn plan_and_quantity_change_with_the_period(house: House) {
        let gym = Gym::new(house, "plans-later", "rehearsal").await;
        let (said, done) = gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "quantity": 3 })).await;
        assert_eq!((&said["charged"]["minor"], &said["nextTotal"]["minor"], &said["nextAt"]), (&json!(0), &json!(9_000), &json!("2026-02-05T09:00:00Z")));
        let next = &done["subscription"];
        assert_eq!((&next["quantity"], &next["nextQuantity"], &next["nextPrice"]["id"]), (&json!(1), &json!(3), &json!(gym.small)));
        assert_eq!(next["upcomingRenewals"][0]["total"]["minor"], 9_000);
        gym.house.advance("2026-02-05T09:00:01Z").await;
        let now = gym.read().await;
        assert_eq!((&now["quantity"], &now["nextQuantity"], gym.free().await), (&json!(3), &json!(null), json!(55)));
        let (_, more) = gym.act("subscriptionUpdate", json!({ "quantity": 4, "when": "NOW" })).await;
        assert_eq!((&more["subscription"]["quantity"], codes(&more)), (&json!(4), Vec::new()));
        gym.house.assert_verified().await;
    }

    /// Within what is paid, a pause changes nothing; beyond it a new period is charged, and counts from its payment.
    async fn a_pause_that_outlasts_what_was_paid_begins_anew(house: House) {
        let gym = Gym::new(house, "plans-pause", "manual").await;
        let (said, _) = gym.act("subscriptionPause", json!({})).await;
        assert_eq!(said["nextAt"], json!(null));
        let query = "query($ada: ID!, $type: ID!) { customer(by: { id: $ada }) { creditStatus(creditTypeId: $type, amount: 26) { reasons { code amount } } } }";
        let why = gym.house.data(query, json!({ "ada": gym.ada, "type": gym.class })).await["customer"]["creditStatus"]["reasons"].clone();
        assert_eq!(why, json!([{ "code": "NOT_ENOUGH", "amount": 25 }, { "code": "SUBSCRIPTION_PAUSED", "amount": 25 }]));
        gym.house.advance("2026-01-20T09:00:00Z").await;
        let (said, _) = gym.act("subscriptionResume", json!({})).await;
        assert_eq!((&said["charged"]["minor"], &said["nextAt"]), (&json!(0), &json!("2026-02-05T09:00:00Z")));
        gym.act("subscriptionPause", json!({})).await;
        gym.house.advance("2026-02-20T09:00:00Z").await;
        let (said, done) = gym.act("subscriptionResume", json!({})).await;
        assert_eq!((&said["charged"]["minor"], &said["nextAt"]), (&json!(6_000), &json!("2026-03-20T09:00:00Z")));
        assert_eq!(codes(&done), Vec::<&str>::new());
        let now = gym.read().await;
        let skipped = period(&now, 1);
        assert_eq!((&skipped["status"], &skipped["endsAt"]), (&json!("SKIPPED"), &json!("2026-02-20T09:00:00Z")));
        gym.house.advance("2026-04-01T09:00:00Z").await;
        assert_eq!(gym.read().await["status"], "ACTIVE", "nobody is late with what has not begun");
        gym.house.pay(&id(&period(&now, 2)["order"])).await;
        let now = gym.read().await;
        assert_eq!((&now["anchorAt"], &now["nextAt"], gym.free().await), (&json!("2026-04-01T09:00:00Z"), &json!("2026-05-01T09:00:00Z"), json!(50)));
        gym.house.advance("2026-05-01T09:00:01Z").await;
        assert_eq!(period(&gym.read().await, 3)["status"], "DUE");
        gym.house.assert_verified().await;
    }

    /// Money of a plan that was given up meanwhile is kept for whoever asks for it, and gives nothing.
    async fn what_is_paid_of_a_change_that_was_given_up_buys_nothing(house: House) {
        let gym = Gym::new(house, "plans-late", "manual").await;
        gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        gym.house.advance("2026-02-05T09:00:01Z").await;
        let given_up = period(&gym.read().await, 1)["order"].clone();
        assert_eq!(given_up["status"], "CANCELLED");
        let input = json!({ "orderId": given_up["id"], "amount": 120, "idempotencyKey": gym.house.key() });
        let paid = gym.house.mutate("paymentRecord", "order { status paid { minor } }", input).await;
        assert_eq!((&paid["order"], codes(&paid)), (&json!({ "status": "CANCELLED", "paid": { "minor": 120 } }), Vec::new()));
        assert_eq!((gym.free().await, gym.read().await["price"]["id"].clone()), (json!(25), json!(gym.big)));
        gym.house.assert_verified().await;
    }

    /// Credits that were to pay for some are set aside when the money comes: it waits, and all of the rest is open.
    async fn credits_that_are_gone_pay_for_nothing(house: House) {
        let gym = Gym::new(house, "plans-gone", "manual").await;
        gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        let waits = id(&period(&gym.read().await, 1)["order"]);
        let hold = json!({ "customerId": gym.ada, "creditTypeId": gym.class, "amount": 20, "expiresAt": "2026-01-20T00:00:00Z" });
        gym.house.ledger("holdPlace", hold).await;
        let pay = |amount: i64| {
            let input = json!({ "orderId": waits, "amount": amount, "idempotencyKey": gym.house.key() });
            gym.house.mutate("paymentRecord", "order { status paid { minor } }", input)
        };
        let first = pay(120).await;
        assert_eq!((&first["order"]["status"], codes(&first)), (&json!("AWAITING_PAYMENT"), Vec::new()));
        assert_eq!(pay(2_880).await["order"], json!({ "status": "PAID", "paid": { "minor": 3_000 } }));
        assert_eq!(gym.free().await, 15, "five of the old plan, ten of the new one");
        gym.house.assert_verified().await;
    }

    /// A payment that the bank takes back takes what was bought with it, also what a change of plan bought.
    async fn a_lost_dispute_follows_the_money_into_the_new_plan(house: House) {
        let gym = Gym::new(house, "plans-lost", "manual").await;
        gym.consume(5).await;
        gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        let now = gym.read().await;
        let orders = [0, 1].map(|number| id(&period(&now, number)["order"]));
        gym.house.pay(&orders[1]).await;
        let payment = gym.house.order(&orders[0]).await["payments"][0]["id"].clone();
        for (outcome, status, free) in [("OPENED", "PAID", 0), ("LOST", "CHARGED_BACK", 0), ("REINSTATED", "PAID", 18)] {
            let input = json!({ "paymentId": payment, "outcome": outcome, "idempotencyKey": gym.house.key() });
            gym.house.done("disputeRecord", "order { status }", input).await;
            assert_eq!((&gym.house.order(&orders[1]).await["status"], gym.free().await), (&json!(status), json!(free)), "{outcome}");
        }
        gym.house.assert_verified().await;
    }

    /// The same where all of the money went over: the first payment is refunded by then.
    async fn a_dispute_finds_money_that_went_over_whole(house: House) {
        let gym = Gym::new(house, "plans-whole", "manual").await;
        gym.act("subscriptionUpdate", json!({ "priceId": gym.small, "when": "NOW" })).await;
        let waits = id(&period(&gym.read().await, 1)["order"]);
        gym.house.pay(&waits).await;
        // Ten of the small plan go over to the large one, and with them the rest of what was paid first.
        gym.act("subscriptionUpdate", json!({ "priceId": gym.big, "when": "NOW" })).await;
        let now = gym.read().await;
        let last = id(&period(&now, 2)["order"]);
        gym.house.pay(&last).await;
        let payment = gym.house.order(&waits).await["payments"][0].clone();
        assert_eq!(payment["status"], "REFUNDED", "{payment}");
        for (outcome, status) in [("OPENED", "PAID"), ("LOST", "CHARGED_BACK"), ("REINSTATED", "PAID")] {
            let input = json!({ "paymentId": payment["id"], "outcome": outcome, "idempotencyKey": gym.house.key() });
            gym.house.done("disputeRecord", "order { status }", input).await;
            assert_eq!(gym.house.order(&last).await["status"], status, "{outcome}");
        }
        gym.house.assert_verified().await;
    }
}
