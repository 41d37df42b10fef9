//! Three servers, each a process of its own, on one database: what is asked of all of them happens once.

use std::time::Duration;

use crate::harness::server::{self, Server};
use scrip::domain::Role;
use serde_json::json;

use crate::harness::{Backend, House, LEDGER_KEY, SIGNING_SECRET};
use crate::on_both;
use crate::selling::shop::{flat, id};

on_both! {
    async fn three_servers_pay_an_order_and_renew_a_period_once(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
        let paid = json!({ "subscription": { "currency": "CHF", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 } });
        let (_, monthly) = house.on_sale(product, json!({ "paid": paid })).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        // Begun in March by the clock of this test; the servers have today's, so some periods are due to them.
        let subscription = id(&house.bought(&bob, &monthly, 1).await["subscription"]);
        let order = id(&house.ordered(&ada, &pack, 5).await);
        let token = house.token(Role::Staff);
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [("SCRIP_DATABASE_URL", house.url.as_str()), ("SCRIP_SIGNING_SECRET", SIGNING_SECRET), ("SCRIP_LEDGER_KEY", LEDGER_KEY)];
        let servers = [(); 3].map(|()| Server::start(folder.path(), &["serve"], &settings));
        let query = "mutation($input: OrderMarkPaidInput!) { orderMarkPaid(input: $input) { replayed order { status } userErrors { code } } }";
        let asked = (0..50).map(|number| {
            let (address, token) = (servers[number % 3].address.clone(), token.clone());
            let variables = json!({ "input": { "orderId": order, "idempotencyKey": format!("pay-{}", number / 2) } });
            std::thread::spawn(move || server::ask(&address, Some(&token), query, &variables).expect("an answer").1)
        });
        let asked = asked.collect::<Vec<_>>();
        let answers = asked.into_iter().map(|asked| asked.join().expect("no panic")["data"]["orderMarkPaid"].clone()).collect::<Vec<_>>();
        let first = answers.iter().filter(|answer| answer["replayed"] == false && answer["userErrors"] == json!([])).count();
        assert_eq!(first, 1, "{answers:#?}");
        assert!(answers.iter().all(|answer| answer["userErrors"] == json!([]) || answer["userErrors"] == json!([{ "code": "ORDER_NOT_AWAITING_PAYMENT" }])), "{answers:#?}");
        let read = house.order(&order).await;
        assert_eq!((read["fulfilment"].as_array().map(Vec::len), read["payments"].as_array().map(Vec::len)), (Some(1), Some(1)));
        assert_eq!(house.balance(&ada).await["available"], 5);
        let periods = "query($id: ID!) { subscription(id: $id) { status nextAt renewals(first: 100) { nodes { number status order { number } } } } }";
        let mut numbers = Vec::new();
        for _ in 0..100 {
            let read = house.data(periods, json!({ "id": subscription })).await["subscription"].clone();
            let nodes = read["renewals"]["nodes"].as_array().expect("nodes").clone();
            numbers = nodes.iter().map(|node| node["number"].as_i64().expect("a number")).collect();
            let next = read["nextAt"].as_str().map(crate::harness::at);
            if next.is_none_or(|next| next > chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        numbers.reverse();
        assert!(numbers.len() > 3, "{numbers:?}");
        assert_eq!(numbers, (0..i64::try_from(numbers.len()).expect("few")).collect::<Vec<_>>(), "each period once");
        let orders = house.data("{ orders(first: 100) { nodes { number } } }", json!({})).await["orders"]["nodes"].as_array().map(Vec::len);
        assert_eq!(orders, Some(numbers.len() + 1), "one order each, and Ada's");
        drop(servers);
        house.assert_verified().await;
    }
}
