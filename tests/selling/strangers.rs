//! Orders without a token: the buyer learns nothing of anybody, and spends nothing of anybody's.

use scrip::domain::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{flat, id, refusal};

const PLACE: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) { replayed orderToken order { id }
    receipt { number status total { minor } buyerName buyerEmail lines { name quantity credits amount { minor } thankYou } paidAt paymentStatus actionUrl }
    preview { amount { minor } credits } userErrors { code message field } } }";

/// A UUID of version 4 that no other call has.
fn uuid() -> String {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let mut bytes = [0_u8; 16];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(std::process::id().wrapping_add(u32::try_from(place * 37).expect("small")) % 251)
            .expect("a byte");
    }
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes());
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

impl House {
    /// `orderPlace` without a token; the payload.
    async fn stranger(&self, name: &str, email: &str, price: &str, quantity: i64, key: &str) -> Value {
        let input = json!({ "account": "studio", "buyer": { "name": name, "email": email },
            "lines": [{ "priceId": price, "quantity": quantity }], "idempotencyKey": key });
        let answer = self.ask_with(None, PLACE, json!({ "input": input })).await.1;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"]["orderPlace"].clone()
    }
}

on_both! {
    /// The same answer whether the address is known or not; what is known stays as it is.
    async fn a_stranger_learns_nothing(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada Lovelace").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 7 })).await;
        let known = house.stranger("Mallory", "ADA.lovelace@example.com ", &pack, 5, &uuid()).await;
        let fresh = house.stranger("Mallory", "mallory@example.com", &pack, 5, &uuid()).await;
        assert_eq!((codes(&known), codes(&fresh)), (vec![], vec![]));
        let plain = |payload: &Value| {
            let mut receipt = payload["receipt"].clone();
            receipt["number"] = json!(0);
            receipt["buyerEmail"] = json!("");
            (payload["order"].clone(), receipt, payload["orderToken"].as_str().map(str::len))
        };
        assert_eq!(plain(&known), plain(&fresh));
        assert_eq!((&known["order"], &known["receipt"]["status"], &known["receipt"]["buyerName"]), (&json!(null), &json!("AWAITING_PAYMENT"), &json!("Mallory")));
        let query = "query($id: ID!) { customer(by: { id: $id }) { name email orders { nodes { id number buyerName } } } }";
        let read = house.data(query, json!({ "id": ada })).await["customer"].clone();
        assert_eq!((&read["name"], &read["email"]), (&json!("Ada Lovelace"), &json!("ada.lovelace@example.com")));
        let order = id(&read["orders"]["nodes"][0]);
        house.pay(&order).await;
        let receipt = "query($token: String!) { orderReceipt(token: $token) { status paidAt lines { name credits } } }";
        let read = house.ask_with(None, receipt, json!({ "token": known["orderToken"] })).await.1;
        assert_eq!((&read["data"]["orderReceipt"]["status"], &read["data"]["orderReceipt"]["lines"][0]["credits"]), (&json!("PAID"), &json!(5)));
        assert_eq!(house.balance(&ada).await["available"], 12);
        let new = house.data("{ customer(by: { email: \"mallory@example.com\" }) { name orders { nodes { number } } } }", json!({})).await;
        assert_eq!(new["customer"], json!({ "name": "Mallory", "orders": { "nodes": [{ "number": 2 }] } }));
        let found = house.data("{ customers(search: \"mallory\") { nodes { name } } }", json!({})).await;
        assert_eq!(found["customers"]["nodes"].as_array().map(Vec::len), Some(1), "whoever was made is found");
    }

    /// What is not one's own is not read: neither without the token, nor with a wrong one, nor by its id.
    async fn an_order_is_read_by_its_token_alone(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let placed = house.stranger("Eve", "eve@example.com", &pack, 1, &uuid()).await;
        let token = placed["orderToken"].as_str().expect("a token").to_owned();
        let receipt = "query($token: String!) { orderReceipt(token: $token) { number } }";
        let mut last = token.clone().into_bytes();
        *last.last_mut().expect("a character") = if token.ends_with('A') { b'Q' } else { b'A' };
        let forged = String::from_utf8(last).expect("text");
        for wrong in ["", "otk_", "otk_AAAA", &token[..token.len() - 2], &forged, &token.replace("otk_", "")] {
            let read = house.ask_with(None, receipt, json!({ "token": wrong })).await.1;
            assert_eq!(read, json!({ "data": { "orderReceipt": null } }), "{wrong}");
        }
        let order = house.data("{ orders { nodes { id } } }", json!({})).await["orders"]["nodes"][0]["id"].clone();
        let by_id = "query($id: ID!) { order(id: $id) { number } }";
        assert_eq!(house.ask_with(None, by_id, json!({ "id": order })).await.0, 401);
        let bob = house.customer("Bob").await;
        let other = house.ask(Role::Customer(bob.parse().expect("an id")), by_id, json!({ "id": order })).await;
        assert_eq!(other["data"]["order"], json!(null));
    }

    async fn a_stranger_spends_nothing_and_is_told_what_is_missing(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (pack, session) = (house.ten_pack(&class).await, house.for_credits("session", &class, 1).await);
        let ada = house.customer("Ada").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 7 })).await;
        let spent = house.stranger("Mallory", "ada@example.com", &session, 1, &uuid()).await;
        assert_eq!(refusal(&spent), ("SIGN_IN_REQUIRED".to_owned(), "lines.0.priceId".to_owned()));
        assert_eq!(house.balance(&ada).await["available"], 7);
        let key = house.stranger("Eve", "eve@example.com", &pack, 1, "guessable").await;
        assert_eq!(refusal(&key), ("INVALID".to_owned(), "idempotencyKey".to_owned()));
        let address = house.stranger("Eve", "nobody", &pack, 1, &uuid()).await;
        assert_eq!(refusal(&address), ("INVALID".to_owned(), "buyer.email".to_owned()));
        for (input, field) in [
            (json!({ "account": "studio", "customerId": ada }), "buyer"),
            (json!({ "account": "studio", "customerId": ada, "buyer": { "name": "E", "email": "e@example.com" } }), "buyer"),
            (json!({ "account": "studio", "buyer": { "name": "E", "email": "e@example.com" }, "metadata": {} }), "metadata"),
            (json!({ "account": "nobody", "buyer": { "name": "E", "email": "e@example.com" } }), "account"),
            (json!({ "buyer": { "name": "E", "email": "e@example.com" } }), "account"),
        ] {
            let mut input = input;
            input["lines"] = json!([{ "priceId": pack, "quantity": 1 }]);
            input["idempotencyKey"] = json!(uuid());
            let answer = house.ask_with(None, PLACE, json!({ "input": input })).await.1;
            assert_eq!(refusal(&answer["data"]["orderPlace"]).1, field, "{input}");
        }
    }

    /// The same key and order are answered alike, with the same token; another order under the key is refused.
    async fn a_stranger_s_order_is_placed_once_per_key(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let key = uuid();
        let all = futures_util::future::join_all((0..6).map(|_| house.stranger("Eve", "eve@example.com", &pack, 1, &key))).await;
        assert_eq!(all.iter().filter(|payload| payload["replayed"] == false).count(), 1, "{all:#?}");
        assert!(all.iter().all(|payload| payload["orderToken"] == all[0]["orderToken"]));
        let other = house.stranger("Eve", "eve@example.com", &pack, 2, &key).await;
        assert_eq!(refusal(&other).0, "IDEMPOTENCY_KEY_REUSED");
        assert!(Uuid::parse_str(&key).is_ok());
    }

    /// A free trial asked for again: the answer is the same, staff sees why nothing was given.
    async fn a_second_free_trial_gives_nothing_and_tells_nobody(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "trial", "name": "Trial", "creditTypeId": class, "thankYou": "See you soon" });
        let (_, trial) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(0) } }, "maxPerCustomer": 1 })).await;
        let first = house.stranger("Eve", "eve@example.com", &trial, 1, &uuid()).await;
        let second = house.stranger("Eve", "eve@example.com", &trial, 1, &uuid()).await;
        assert_eq!((&first["receipt"]["status"], &first["receipt"]["lines"]), (&second["receipt"]["status"], &second["receipt"]["lines"]));
        assert_eq!((&second["receipt"]["status"], &second["receipt"]["lines"][0]["thankYou"]), (&json!("PAID"), &json!("See you soon")));
        let orders = house.data("{ customer(by: { email: \"eve@example.com\" }) { id orders { nodes { fulfilment { grant { amount } refused { code } } } } } }", json!({})).await;
        let orders = &orders["customer"];
        assert_eq!(orders["orders"]["nodes"][0]["fulfilment"], json!([{ "grant": null, "refused": { "code": "LIMIT_PER_CUSTOMER" } }]));
        assert_eq!(orders["orders"]["nodes"][1]["fulfilment"], json!([{ "grant": { "amount": 1 }, "refused": null }]));
        assert_eq!(house.balance(&id(orders)).await["available"], 1);
        let product = json!({ "kind": "CREDIT", "slug": "offer", "name": "Offer", "creditTypeId": class });
        let (_, offer) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(500) } }, "maxPerCustomer": 1 })).await;
        assert_eq!(refusal(&house.stranger("Eve", "eve@example.com", &offer, 1, &uuid()).await).0, "SIGN_IN_REQUIRED", "money is not taken for nothing");
    }

    /// Addresses that look alike, or have a `+`, are others: what is free is limited by where it is ordered from.
    async fn so_many_free_trials_come_from_one_address(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "trial", "name": "Trial", "creditTypeId": class });
        let mut free = json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(0) } } });
        free["maxPerCustomer"] = json!(1);
        let (_, trial) = house.on_sale(product, free).await;
        let pack = house.ten_pack(&class).await;
        for number in 0..10 {
            let placed = house.stranger("Eve", &format!("eve+{number}@example.com"), &trial, 1, &uuid()).await;
            assert_eq!((codes(&placed), &placed["receipt"]["status"]), (vec![], &json!("PAID")));
        }
        let input = json!({ "account": "studio", "buyer": { "name": "Eve", "email": "eve+11@example.com" },
            "lines": [{ "priceId": trial, "quantity": 1 }], "idempotencyKey": uuid() });
        let (status, refused) = house.ask_with(None, PLACE, json!({ "input": input })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "RATE_LIMITED", "{status} {refused}");
        assert_eq!(house.data("{ customers(search: \"eve+11\") { nodes { id } } }", json!({})).await["customers"]["nodes"], json!([]));
        // What costs something goes on.
        assert_eq!(codes(&house.stranger("Eve", "eve+12@example.com", &pack, 1, &uuid()).await), Vec::<&str>::new());
    }

    /// Somebody orders and never pays: so much is let through from one address, and the business goes on.
    async fn unpaid_orders_of_one_address_are_bounded(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let mut first = Value::Null;
        for number in 0..20 {
            let placed = house.stranger("Eve", &format!("eve{number}@example.com"), &pack, 1, &uuid()).await;
            assert_eq!(codes(&placed), Vec::<&str>::new());
            if number == 0 {
                first = placed;
            }
        }
        let refused = house.stranger("Eve", "eve20@example.com", &pack, 1, &uuid()).await;
        assert_eq!(refusal(&refused), ("TOO_MANY_UNPAID".to_owned(), "lines".to_owned()));
        // Nobody was made for it, and a customer who signed in is not held up.
        let orders = house.data("{ orders(first: 100) { nodes { id customer { email } } } }", json!({})).await;
        assert_eq!(orders["orders"]["nodes"].as_array().map(Vec::len), Some(20));
        let ada = house.customer("Ada").await;
        house.ordered(&ada, &pack, 1).await;
        // What is paid counts no longer.
        let query = "{ orders(first: 100) { nodes { id number } } }";
        let orders = house.data(query, json!({})).await["orders"]["nodes"].clone();
        let number = &first["receipt"]["number"];
        let paid = orders.as_array().expect("orders").iter().find(|order| order["number"] == *number).expect("it is there");
        house.pay(&id(paid)).await;
        assert_eq!(codes(&house.stranger("Eve", "eve20@example.com", &pack, 1, &uuid()).await), Vec::<&str>::new());
    }

    /// Many addresses order one product and never pay: so much of it is let through from all of them together.
    async fn unpaid_orders_of_one_product_are_bounded(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let place = async |number: i64| house.stranger("Eve", &format!("eve{number}@example.com"), &pack, 1, &uuid()).await;
        assert_eq!(codes(&place(0).await), Vec::<&str>::new());
        let (numbers, order, stranger) = match house.backend {
            Backend::Sqlite => (
                "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 998) SELECT n FROM n)",
                "randomblob(16)",
                "randomblob(16)",
            ),
            Backend::Postgres => ("generate_series(1, 998)", "gen_random_uuid()", "decode(md5(n::text), 'hex')"),
        };
        let as_it_is = "customer_id, status, currency, subtotal, tax, total, covered, refunded, buyer_name, buyer_email, metadata, actor_kind, actor, placed_at";
        let copied = format!(
            "INSERT INTO product_order (account_id, id, number, stranger, {as_it_is})
             SELECT account_id, {order}, number + 100000 + n, {stranger}, {as_it_is} FROM product_order CROSS JOIN {numbers} AS n"
        );
        assert_eq!(house.tamper(&copied).await, 998);
        let line = "product_id, price_id, quantity, amount, credit_type_id, credits, expiration";
        let lines = format!(
            "INSERT INTO order_line (account_id, order_id, position, {line}) SELECT o.account_id, o.id, position, {line}
             FROM order_line l JOIN product_order o ON o.id <> l.order_id"
        );
        assert_eq!(house.tamper(&lines).await, 998);
        assert_eq!(codes(&place(1).await), Vec::<&str>::new());
        assert_eq!(refusal(&place(2).await), ("TOO_MANY_UNPAID".to_owned(), "lines".to_owned()));
        // Another product goes on.
        let product = json!({ "kind": "CREDIT", "slug": "other", "name": "Other", "creditTypeId": class });
        let (_, other) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(9_900) } } })).await;
        assert_eq!(codes(&house.stranger("Eve", "eve3@example.com", &other, 1, &uuid()).await), Vec::<&str>::new());
    }

    /// What nobody pays within the account's `orderDays` goes, with whoever was made for it; the rest stays.
    async fn unpaid_orders_of_strangers_go_in_the_end(house: House) {
        let house = house.sandbox("later", "2026-03-01T09:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada Lovelace").await;
        let place = async |name: &str, email: &str| {
            let input = json!({ "account": "later", "buyer": { "name": name, "email": email },
                "lines": [{ "priceId": pack, "quantity": 1 }], "idempotencyKey": uuid() });
            let answer = house.ask_with(None, PLACE, json!({ "input": input })).await.1;
            assert_eq!(codes(&answer["data"]["orderPlace"]), Vec::<&str>::new(), "{answer}");
            answer["data"]["orderPlace"]["receipt"]["number"].as_i64().expect("a number")
        };
        let gone = place("Eve", "eve@example.com").await;
        let known = place("Ada", "ada.lovelace@example.com").await;
        let paid = place("Bob", "bob@example.com").await;
        let own = id(&house.ordered(&ada, &pack, 1).await);
        let orders = async || house.data("{ orders(first: 100) { nodes { id number status customer { email } } } }", json!({})).await["orders"]["nodes"].as_array().expect("orders").clone();
        let all = orders().await;
        let of = |number: i64| all.iter().find(|order| order["number"] == number).expect("it is there");
        house.pay(&id(of(paid))).await;
        house.advance("2026-03-20T09:00:00Z").await;
        let kept = place("Mallory", "mallory@example.com").await;
        assert_eq!(orders().await.len(), 5);
        house.advance("2026-04-15T09:00:00Z").await;
        let left = orders().await;
        let mut numbers = left.iter().map(|order| order["number"].as_i64().expect("a number")).collect::<Vec<_>>();
        numbers.sort_unstable();
        let own = all.iter().find(|order| order["id"] == own.as_str()).expect("Ada's own")["number"].as_i64().expect("a number");
        let mut expected = vec![paid, own, kept];
        expected.sort_unstable();
        assert_eq!(numbers, expected, "{gone} and {known} are gone");
        let customers = house.data("{ customers(first: 100) { nodes { email } } }", json!({})).await;
        let mut emails = customers["customers"]["nodes"].as_array().expect("customers").iter().map(|one| one["email"].as_str().expect("text").to_owned()).collect::<Vec<_>>();
        emails.sort();
        assert_eq!(emails, ["ada.lovelace@example.com", "bob@example.com", "mallory@example.com"]);
        assert_eq!(codes(&house.by_owner("accountUpdate", "account { orderDays }", json!({ "orderDays": 0 })).await), ["INVALID"]);
        assert_eq!(house.by_owner("accountUpdate", "account { orderDays }", json!({ "orderDays": 1 })).await["account"]["orderDays"], 1);
        house.assert_verified().await;
    }
}
