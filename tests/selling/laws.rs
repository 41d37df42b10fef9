//! What holds of a sale at every time, reckoned by itself (selling.md, S1 to S6).

use scrip::domain::sales::sale::{Lot, Sale};
use serde_json::Value;

/// What the last `n` free credits of a lot cost (selling.md, S2), reckoned by itself.
pub fn of_last(lot: &Lot, n: i64) -> i64 {
    let grant = &lot.grant;
    let (left, short, units) = (grant.cost_left.0, grant.cost_short.0, grant.remaining.0);
    let head = if n == 0 { left } else { ((left + short) * (units - n) / units).min(left) };
    left - head
}

/// The buyer's free lots that have not ended, those that would be used last first.
pub fn free(sale: &Sale, now: chrono::DateTime<chrono::Utc>) -> Vec<&Lot> {
    let own = sale.lots.iter().filter(|lot| lot.grant.customer_id == sale.order.customer_id);
    let mut own = own.filter(|lot| lot.grant.remaining.0 > 0).collect::<Vec<_>>();
    assert!(own.iter().all(|lot| lot.grant.expires_at.is_none_or(|end| end > now)), "what has ended is not free");
    own.sort_by_key(|lot| (lot.grant.expires_at.is_none(), lot.grant.expires_at, lot.grant.effective_at, lot.grant.id));
    own.reverse();
    own
}

/// How many credits a refund of an amount takes: as few as reach the largest cost that is not above it.
pub fn fewest(sale: &Sale, now: chrono::DateTime<chrono::Utc>, mut amount: i64) -> i64 {
    let mut credits = 0;
    for lot in free(sale, now) {
        if amount <= 0 {
            break;
        }
        let reach = (0..=lot.grant.remaining.0).filter(|n| of_last(lot, *n) <= amount);
        let best = reach.map(|n| (of_last(lot, n), n)).max_by_key(|(cost, n)| (*cost, std::cmp::Reverse(*n)));
        credits += best.expect("none at all costs nothing").1;
        amount -= lot.grant.cost_left.0.min(amount);
    }
    credits
}

/// Money of an order that pays for nothing of it (S6).
pub fn surplus(sale: &Sale) -> i64 {
    use entity::product_order::Status::{Paid, PartiallyRefunded};
    if !matches!(sale.order.status, Paid | PartiallyRefunded) {
        return sale.kept().0;
    }
    let counts = |status| !matches!(status, entity::payment::Status::ChargedBack);
    let paid = sale.payments.iter().filter(|payment| counts(payment.status)).map(|payment| payment.amount.0);
    let back = sale.refunds.iter().map(|refund| refund.surplus_amount.0).sum::<i64>();
    (paid.sum::<i64>() - sale.order.total.0 - back).clamp(0, sale.kept().0)
}

/// What holds of an order at every time.
pub fn check(sale: &Sale, kind: bool) {
    let kept = sale.kept().0;
    let costs = |lot: &Lot| lot.grant.cost_left.0 + if lot.grant.closed { 0 } else { lot.grant.cost_held.0 };
    let deferred = sale.lots.iter().map(costs).sum::<i64>();
    assert!(deferred <= kept, "S1: credits that cost {deferred}, {kept} of money is here: {sale:#?}");
    let usable = sale.lots.iter().filter(|lot| !lot.grant.frozen).map(|lot| lot.grant.remaining.0).sum::<i64>();
    assert!(kept > 0 || kind || usable == 0, "{usable} free credits, and no money: {sale:#?}");
    for payment in &sale.payments {
        assert!((0..=payment.amount.0).contains(&payment.refunded.0), "more went back than came: {payment:?}");
    }
    let refunded = sale.refunds.iter().map(|refund| refund.amount.0).sum::<i64>();
    assert_eq!(sale.order.refunded.0, refunded, "what went back is what its refunds say");
    let disputed = sale.payments.iter().any(|payment| payment.status == entity::payment::Status::Disputed);
    let frozen = sale.lots.iter().any(|lot| lot.grant.frozen);
    assert!(disputed || !frozen, "frozen, and nothing is disputed: {sale:#?}");
}

/// What became of what was sold: in credits and in cost, each once (S8).
pub fn adds_up(line: &Value) {
    let number = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("no number: {value}"));
    let cost = |pool: &str| number(&line[pool]["cost"]["minor"]);
    let credits = |pool: &str| number(&line[pool]["credits"]);
    let with_credits = ["deferred", "earned", "breakage", "voided"];
    assert_eq!(credits("sold"), with_credits.into_iter().map(credits).sum::<i64>(), "{line}");
    let all = ["deferred", "earned", "breakage", "voided", "reduced", "losses"];
    assert_eq!(cost("sold"), all.into_iter().map(cost).sum::<i64>(), "{line}");
    assert!(all.into_iter().all(|pool| cost(pool) >= 0), "{line}");
}
