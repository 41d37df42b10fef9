//! Transactions that meet others: whatever writes is run again, and its caller does not hear of it.

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};

/// Makes the first two writes to each table fail as a serialisation does: a sequence does not roll back.
const MEETS: [&str; 3] = [
    "CREATE SEQUENCE met",
    "CREATE FUNCTION meet() RETURNS trigger AS $$ BEGIN
        IF nextval('met') <= 2 THEN RAISE EXCEPTION 'met another' USING ERRCODE = '40001'; END IF;
        RETURN NEW; END $$ LANGUAGE plpgsql",
    "DO $$ DECLARE name text; BEGIN
        FOREACH name IN ARRAY ARRAY['customer', 'credit_type', 'product', 'price', 'account', 'api_key', 'event_trigger', 'product_order', 'job', 'event'] LOOP
            EXECUTE format('CREATE TRIGGER meet BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION meet()', name);
        END LOOP; END $$",
];

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test]
async fn what_meets_another_transaction_is_run_again() {
    let house = House::new(Backend::Postgres).await;
    let ada = house.customer("Ada").await;
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let pack = house.ten_pack(&class).await;
    let order = house.ordered(&ada, &pack, 1).await["id"].clone();
    for sql in MEETS {
        house.tamper(sql).await;
    }
    let writes: [(&str, Value); 11] = [
        ("customerCreate", json!({ "name": "Bob", "tags": ["new"] })),
        ("customerUpdate", json!({ "id": ada, "name": "Ada Lovelace" })),
        ("creditTypeCreate", json!({ "name": "Session" })),
        ("creditTypeUpdate", json!({ "id": class, "description": "An hour" })),
        ("productCreate", json!({ "kind": "SERVICE", "slug": "mat", "name": "A mat" })),
        ("accountUpdate", json!({ "name": "The studio" })),
        ("apiKeyCreate", json!({ "name": "A key", "scopes": ["READ"] })),
        (
            "triggerCreate",
            json!({ "name": "Welcome", "eventName": "customer.created", "actions": [{ "tagCustomer": ["hello"] }] }),
        ),
        ("orderMarkPaid", json!({ "orderId": order, "idempotencyKey": "paid" })),
        ("creditsIssue", json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "idempotencyKey": "issued" })),
        ("customerArchive", json!({ "id": ada })),
    ];
    for (mutation, input) in writes {
        house.tamper("ALTER SEQUENCE met RESTART").await;
        let done = house.by_owner(mutation, "", input.clone()).await;
        assert_eq!(codes(&done), Vec::<&str>::new(), "{mutation} {input}: {done:#}");
    }
    let live = house.data("{ customers(first: 5) { nodes { name } } }", json!({})).await;
    assert_eq!(live["customers"]["nodes"], json!([{ "name": "Bob" }]), "made once, and Ada is archived");
}
