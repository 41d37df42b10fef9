//! How many statements a payment takes: a row is locked and read once.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::harness::{Backend, House};
use crate::on_both;
use crate::selling::shop::flat;

/// The statements that a server of this thread has sent, in their order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Visit for &Log {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            self.0.lock().expect("nobody panics while listening").push(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut &*self);
    }
}

/// What is sent while something is done.
async fn sent(work: impl Future) -> Vec<String> {
    let log = Log::default();
    let only = Targets::new().with_target("scrip::sql", LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(log.clone().with_filter(only));
    let listening = tracing::subscriber::set_default(subscriber);
    work.await;
    drop(listening);
    let log = log.0.lock().expect("nobody panics while listening");
    log.clone()
}

/// What a payment may take: the account, the key, the order with its lines, payments, a payment, the wallet, grants, the
/// wallet, a grant, its activity and allocation, what was given, the order, the key, what happened. Of a new wallet, the
/// making of it in place of grants; of credits that end, one more: the job that ends them.
const ORDER: usize = 15;
/// And of a subscription's first order: that it is none of the others, the subscription, its row, its job, its period.
const FIRST: usize = ORDER + 5;

on_both! {
    in one thread;

    /// Each row is locked and read once, also of somebody who had no credits before.
    async fn a_payment_takes_few_statements(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let product = json!({ "kind": "CREDIT", "slug": "club", "name": "Club", "creditTypeId": class });
        let paid = json!({ "currency": "CHF", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4, "rollover": { "upTo": 2 } });
        let (_, club) = house.on_sale(product, json!({ "paid": { "subscription": paid } })).await;
        let ada = house.customer("Ada").await;
        let month = json!({ "kind": "CREDIT", "slug": "month", "name": "Month", "creditTypeId": class, "expiration": { "after": { "count": 30, "unit": "DAY" } } });
        let (_, month) = house.on_sale(month, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(9_900) } } })).await;
        for (price, most) in [(&pack, ORDER), (&pack, ORDER), (&month, ORDER + 1), (&club, FIRST)] {
            let order = house.ordered(&ada, price, 1).await;
            let input = json!({ "orderId": order["id"], "idempotencyKey": house.key() });
            let mut log = sent(house.done("orderMarkPaid", "replayed", input)).await;
            // The answer is read in a snapshot of its own, which begins with the account.
            let answer = log.iter().rposition(|sql| sql.contains("FROM \"account\"")).expect("a snapshot");
            log.truncate(answer);
            // Who did what is written beside it, for several requests at once.
            log.retain(|sql| !sql.contains("\"access_entry\""));
            assert!((10..=most).contains(&log.len()), "{} statements:\n{}", log.len(), log.join("\n"));
            let locks = log.iter().filter(|sql| sql.starts_with("SELECT \"subscription\"")).count();
            assert!(locks <= 1, "a subscription is locked {locks} times");
        }
    }
}
