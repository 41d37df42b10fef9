//! An account with one of everything, two customers, and words in it that must not be found elsewhere.

use scrip::domain::Role;
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{House, codes};

/// What only staff reads, wherever it stands.
pub const STAFF_ONLY: [&str; 2] = ["secret of staff", "shoe size"];

/// The things in an account, by the names that templates call them.
pub struct Shop {
    pub ada: String,
    pub bob: String,
    /// Names without their dollar, and ids.
    pub ids: Vec<(&'static str, String)>,
}

impl Shop {
    /// Fills an account. Ada has bought, used and booked; so has Bob.
    #[expect(clippy::too_many_lines, reason = "a line or three for each kind of thing")]
    pub async fn open(house: &House) -> Self {
        let done = async |mutation: &str, fields: &str, input: Value| {
            let payload = house.by_owner(mutation, fields, input.clone()).await;
            assert_eq!(codes(&payload), Vec::<&str>::new(), "{mutation} {input}: {payload:#}");
            payload
        };
        let id = |value: &Value| value["id"].as_str().unwrap_or_else(|| panic!("no id: {value:#}")).to_owned();
        let mut ids: Vec<(&'static str, String)> = Vec::new();
        let person = json!({
            "name": "Ada", "email": "ada@example.com", "externalId": "crm-7", "locale": "de-CH", "tags": ["vip"],
            "metadata": { "shoe size": 38 },
        });
        let ada = id(&done("customerCreate", "customer { id }", person).await["customer"]);
        let bob =
            id(&done("customerCreate", "customer { id }", json!({ "name": "Bob", "email": "bob@example.com" })).await
                ["customer"]);
        let credit_type = id(&done(
            "creditTypeCreate",
            "creditType { id }",
            json!({ "name": "Session",
            "expiration": { "never": true } }),
        )
        .await["creditType"]);
        let product = json!({ "kind": "CREDIT", "slug": "sessions", "name": "Sessions", "creditTypeId": credit_type,
            "metadata": { "shoe size": 1 } });
        let product = id(&done("productCreate", "product { id }", product).await["product"]);
        let tiers = json!([{ "from": 1, "unitAmount": 1000 }]);
        let price = json!({ "productId": product, "paid": { "oneTime": { "currency": "CHF", "tiers": tiers } } });
        let price = id(&done("priceCreate", "price { id }", price).await["price"]);
        let monthly = json!({ "productId": product, "paid": { "subscription": { "currency": "CHF", "tiers": tiers,
            "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 } } });
        let monthly = id(&done("priceCreate", "price { id }", monthly).await["price"]);
        done("productActivate", "product { status }", json!({ "id": product })).await;
        let steps =
            json!([{ "does": { "wait": { "count": 7, "unit": "DAY" } } }, { "does": { "tagCustomer": ["waited"] } }]);
        let automation = json!({ "name": "Follow up", "steps": steps });
        let automation = id(&done("automationCreate", "automation { id }", automation).await["automation"]);
        let trigger = json!({ "name": "On form", "eventName": "form.sent",
            "actions": [{ "issueCredits": { "creditTypeId": credit_type, "amount": 1 } }, { "startAutomation": automation }] });
        let trigger = id(&done("triggerCreate", "trigger { id }", trigger).await["trigger"]);
        let endpoint = json!({ "url": "http://127.0.0.1:9/hook", "events": ["form.sent"] });
        let endpoint =
            id(&done("webhookEndpointCreate", "webhookEndpoint { id } secret", endpoint).await["webhookEndpoint"]);
        let key = id(
            &done("apiKeyCreate", "apiKey { id } key", json!({ "name": "Site", "scopes": ["READ"] })).await["apiKey"],
        );
        for (who, customer) in [("ada", &ada), ("bob", &bob)] {
            let note = if who == "ada" { "Ada's own note" } else { "Bob's own note" };
            let common = |key: &str| {
                json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 10, "note": note,
                "internalNote": "secret of staff", "idempotencyKey": format!("{who}-{key}") })
            };
            let mut issue = common("issue");
            issue["metadata"] = json!({ "shoe size": 38 });
            let grant = id(&done("creditsIssue", "grant { id }", issue).await["grant"]);
            let mut consume = common("consume");
            consume["amount"] = json!(1);
            let activity = id(&done("creditsConsume", "activity { id }", consume).await["activity"]);
            let mut hold = common("hold");
            (hold["amount"], hold["expiresAt"]) = (json!(2), json!("2026-03-09T00:00:00Z"));
            let hold = id(&done("holdPlace", "hold { id }", hold).await["hold"]);
            let order = json!({ "customerId": customer, "lines": [{ "priceId": price, "quantity": 2 }],
                "note": note, "metadata": { "shoe size": 38 }, "idempotencyKey": format!("{who}-order") });
            let order = id(&done("orderPlace", "order { id }", order).await["order"]);
            let paid = json!({ "orderId": order, "idempotencyKey": format!("{who}-paid") });
            let payment = id(&done("orderMarkPaid", "order { payments { id } }", paid).await["order"]["payments"][0]);
            let event = json!({ "name": "form.sent", "customer": { "id": customer },
                "properties": { "form": note }, "idempotencyKey": format!("{who}-form") });
            let event = id(&done("eventTrack", "event { id }", event).await["event"]);
            let session = id(
                &done("customerSessionCreate", "session { id } token", json!({ "customerId": customer })).await["session"]
            );
            while worker::round(&house.app).await.expect("a round") > 0 {}
            let walk = house
                .data(
                    "query($id: ID!) { customer(by: { id: $id }) { enrolments { nodes { id history { id } } } }
                trigger(id: $trigger) { runs { nodes { id customer { id } } } } }"
                        .replace("($id", "($trigger: ID!, $id")
                        .as_str(),
                    json!({ "id": customer, "trigger": trigger }),
                )
                .await;
            let enrolment = id(&walk["customer"]["enrolments"]["nodes"][0]);
            let run = walk["trigger"]["runs"]["nodes"]
                .as_array()
                .expect("runs")
                .iter()
                .find(|run| run["customer"]["id"] == json!(customer))
                .map(id)
                .expect("a run");
            if who == "ada" {
                ids.extend([
                    ("grant", grant),
                    ("activity", activity),
                    ("hold", hold),
                    ("order", order),
                    ("payment", payment),
                    ("event", event),
                    ("session", session),
                    ("enrolment", enrolment),
                    ("run", run),
                ]);
            } else {
                ids.extend([
                    ("bobsGrant", grant),
                    ("bobsActivity", activity),
                    ("bobsHold", hold),
                    ("bobsOrder", order),
                    ("bobsSession", session),
                ]);
            }
        }
        let tried = done("webhookEndpointTest", "event { id } webhookDelivery { id }", json!({ "id": endpoint })).await;
        let delivery = id(&tried["webhookDelivery"]);
        let bulk = json!({ "tag": "vip", "creditTypeId": credit_type, "amount": 1, "idempotencyKey": "bulk" });
        let bulk = id(&done("creditsIssueBulk", "operation { id }", bulk).await["operation"]);
        let jobs = house.data("{ jobs { nodes { id } } }", json!({})).await;
        let job = id(&jobs["jobs"]["nodes"][0]);
        ids.extend([
            ("ada", ada.clone()),
            ("bob", bob.clone()),
            ("creditType", credit_type),
            ("product", product),
            ("price", price),
            ("monthly", monthly),
            ("automation", automation),
            ("trigger", trigger),
            ("endpoint", endpoint),
            ("key", key),
            ("delivery", delivery),
            ("bulk", bulk),
            ("job", job),
        ]);
        let mut shop = Self { ada: ada.clone(), bob, ids };
        let subscription = shop.subscribe(house, &shop.bob).await;
        shop.ids.push(("subscription", subscription));
        shop.ids.push(("account", house.account.id.to_string()));
        shop
    }

    /// The same, where Ada has a subscription too.
    pub async fn subscribed(house: &House) -> Self {
        let mut shop = Self::open(house).await;
        let subscription = shop.subscribe(house, &shop.ada).await;
        shop.ids.push(("adasSubscription", subscription));
        shop
    }

    /// The id of a thing.
    pub fn id(&self, name: &str) -> &str {
        self.ids.iter().find(|(known, _)| *known == name).map_or_else(|| panic!("no {name}"), |(_, id)| id)
    }

    /// A subscription that runs; its id.
    pub async fn subscribe(&self, house: &House, customer: &str) -> String {
        let order = json!({ "customerId": customer, "lines": [{ "priceId": self.id("monthly"), "quantity": 1 }],
            "idempotencyKey": house.key() });
        let placed = house.mutate("orderPlace", "order { id subscription { id } }", order).await;
        let paid = json!({ "orderId": placed["order"]["id"], "idempotencyKey": house.key() });
        house.mutate("orderMarkPaid", "order { status }", paid).await;
        placed["order"]["subscription"]["id"].as_str().unwrap_or_else(|| panic!("{placed:#}")).to_owned()
    }

    /// A text with the ids of this account in the places of `"$name"`.
    pub fn with_ids(&self, template: &str) -> String {
        let fill =
            |text: String, (name, id): &(&str, String)| text.replace(&format!("\"${name}\""), &format!("\"{id}\""));
        let text = self.ids.iter().fold(template.to_owned(), fill);
        assert!(!text.contains("\"$"), "{text}");
        text
    }

    /// The same as JSON.
    pub fn filled(&self, template: &str) -> Value {
        let text = self.with_ids(template);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A token of Bob's.
    pub fn bobs_token(&self, house: &House) -> String {
        house.token(Role::Customer(self.bob.parse().expect("an id")))
    }
}
