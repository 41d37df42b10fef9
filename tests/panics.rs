//! What panics in company: the others are answered as if it had not been there, and all goes on.

use crate::harness::{Backend, House};
use crate::on_both;
use futures_util::future::join_all;
use scrip::domain::Role;
use scrip::domain::ground::fault;
use scrip::domain::ground::fault::Fault;
use serde_json::{Value, json};

/// Who asks at the same time.
const TOGETHER: usize = 40;
/// Which of them panics.
const CULPRIT: usize = 17;

/// The code of an answer's error; none where it has none.
fn code(answer: &Value) -> Option<&str> {
    answer["errors"][0]["extensions"]["code"].as_str()
}

on_both! {
    in one thread;

    async fn a_query_that_panics_leaves_its_company_alone(house: House) {
        fault::set(Some(Fault::Panic));
        let mut customers = Vec::new();
        for n in 0..TOGETHER {
            customers.push(house.customer(&if n == CULPRIT { "panic".to_owned() } else { format!("Customer {n}") }).await);
        }
        let query = "query($id: ID!) { customer(by: { id: $id }) { id name } }";
        let ask = async |n: usize| house.ask_with(Some(&house.token(Role::Staff)), query, json!({ "id": customers[n] })).await;
        assert_eq!(ask(0).await.0, 200);
        let before = house.statements().await;
        assert_eq!(ask(0).await.0, 200);
        let one = house.statements().await - before;
        for round in 0..3 {
            let before = house.statements().await;
            let answers = house.together((0..TOGETHER).map(ask)).await;
            for (n, (status, answer)) in answers.iter().enumerate() {
                if n == CULPRIT {
                    assert_eq!((*status, code(answer)), (500, Some("INTERNAL")), "round {round}: {answer}");
                } else {
                    assert_eq!(answer["data"]["customer"]["name"], json!(format!("Customer {n}")), "round {round}: {answer}");
                }
            }
            // The question that has panicked in company is asked alone from then on.
            let statements = house.statements().await - before - House::READERS as u64;
            assert!(round == 0 || statements == TOGETHER as u64 * one, "round {round}: {statements} statements, one takes {one}");
        }
        assert_eq!(ask(0).await.1["data"]["customer"]["id"], json!(customers[0]));
    }

    async fn a_command_that_panics_leaves_its_company_alone(house: House) {
        fault::set(Some(Fault::Panic));
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1_000 })).await;
        let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { activity { amount } userErrors { code } } }";
        let consume = async |n: usize| {
            let mut input = json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "idempotencyKey": format!("use-{n}") });
            if n == CULPRIT {
                input["note"] = json!("panic");
            }
            house.ask(Role::Staff, query, json!({ "input": input })).await
        };
        for (n, answer) in join_all((0..TOGETHER).map(consume)).await.iter().enumerate() {
            if n == CULPRIT {
                assert_eq!(code(answer), Some("INTERNAL"), "{answer}");
            } else {
                assert_eq!(answer["data"]["creditsConsume"]["activity"]["amount"], -1, "{answer}");
            }
        }
        assert_eq!(house.balance(&customer).await["available"], 1_000 - TOGETHER + 1);
        assert_eq!(consume(TOGETHER).await["data"]["creditsConsume"]["activity"]["amount"], -1);
        house.assert_verified().await;
    }
}
