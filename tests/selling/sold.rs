//! Orders and refunds of the pure core's histories, as rows.

use entity::payment::{self, Status as Paid};
use entity::product_order::{self, Status};
use entity::{Credits, CustomerId, GrantId, Minor, OrderId, PaymentId, RefundId, refund};
use scrip::domain::ground::clock::Instant;
use scrip::domain::sales::sale::Sale;
use serde_json::json;
use uuid::Uuid;

use crate::naive::game;

/// An order of one line that is paid and has made a grant.
pub fn sold(customer: CustomerId, total: Minor, grant: GrantId, (id, at): (Uuid, Instant)) -> Sale {
    let order = product_order::Model {
        account_id: game::ACCOUNT,
        id: OrderId(id),
        number: 1,
        customer_id: customer,
        subscription_id: None,
        renewal_number: None,
        status: Status::Paid,
        currency: Some("CHF".to_owned()),
        subtotal: total,
        tax: Minor::ZERO,
        total,
        covered: Minor::ZERO,
        refunded: Minor::ZERO,
        buyer_name: None,
        buyer_email: None,
        stranger: None,
        note: None,
        metadata: json!({}),
        actor_kind: entity::activity::ActorKind::Staff,
        actor: String::new(),
        placed_at: at,
        paid_at: Some(at),
        cancelled_at: None,
        reason: None,
    };
    let payment = |amount: Minor, n: u128| payment::Model {
        account_id: order.account_id,
        id: PaymentId(Uuid::from_u128(n)),
        order_id: order.id,
        provider: "manual".to_owned(),
        provider_reference: None,
        method: None,
        status: Paid::Succeeded,
        amount,
        refunded: Minor::ZERO,
        currency: "CHF".to_owned(),
        action_url: None,
        failure: None,
        created_at: at,
        updated_at: at,
    };
    let given = entity::fulfilment::Model {
        account_id: order.account_id,
        order_id: order.id,
        position: 0,
        part: 0,
        credits: Credits(1),
        cost: total,
        grant_id: Some(grant),
        activity_id: None,
        refusal: None,
        at,
    };
    // In two payments, so that a refund may come from both.
    let first = Minor(total.0 / 3 + 1);
    let payments =
        [payment(first, 1), payment(total - first, 2)].into_iter().filter(|payment| payment.amount > Minor::ZERO);
    Sale {
        payments: payments.collect(),
        order,
        lines: Vec::new(),
        given: vec![given],
        refunds: Vec::new(),
        lots: Vec::new(),
        uses: Vec::new(),
    }
}

pub fn given_back(sale: &Sale, amount: Minor, (id, at): (RefundId, Instant)) -> refund::Model {
    refund::Model {
        account_id: sale.order.account_id,
        id,
        order_id: sale.order.id,
        payment_id: None,
        provider_reference: None,
        status: refund::Status::Succeeded,
        amount,
        line_amount: Minor::ZERO,
        surplus_amount: Minor::ZERO,
        currency: None,
        credits: Credits::ZERO,
        of_lines: json!([]),
        taken: json!([]),
        reason: String::new(),
        failure: None,
        actor_kind: entity::activity::ActorKind::Staff,
        actor: String::new(),
        at,
    }
}
