//! Rows as the heart has them, and back: the same columns, without the table.

use ledger::{Activity, Allocation, Grant, Hold, Totals};

use crate::{account, activity, allocation, credit_grant, credit_type, hold, wallet};

/// Both ways between a row and what the heart has of it.
macro_rules! rows {
    ($($row:ty = $value:ident { $($field:ident),+ $(,)? })+) => {$(
        impl From<$row> for $value {
            fn from(row: $row) -> Self {
                Self { $($field: row.$field),+ }
            }
        }

        impl From<$value> for $row {
            fn from(value: $value) -> Self {
                Self { $($field: value.$field),+ }
            }
        }
    )+};
}

rows! {
    activity::Model = Activity {
        account_id, id, customer_id, credit_type_id, sequence, kind, amount, held_amount, balance_before,
        balance_after, actor_kind, actor, source, reference, reason, note, internal_note, note_salt, note_digest,
        hold_id, reverses_id, at, hash,
    }
    allocation::Model = Allocation {
        account_id, activity_id, position, grant_id, amount, cost, ends_before, ends_after, leaves_open, cost_from,
        cost_to, refunded, allowance,
    }
    credit_grant::Model = Grant {
        account_id, id, customer_id, credit_type_id, amount, remaining, held, consumed, expired, voided,
        transferred, open, closed, priority, promotional, effective_at, expires_at, expiration, period_count,
        period_unit, period_from, expires_on, time_zone, first_used_at, cost, cost_left, cost_held, cost_consumed,
        cost_expired, cost_voided, cost_transferred, cost_reduced, cost_lost, cost_returned, cost_short,
        expired_marked, expired_capped, frozen, subscription_id, period, rollover_limit, allowance, capped_at,
        currency, source, origin_id, metadata, created_at,
    }
    hold::Model = Hold {
        account_id, id, customer_id, credit_type_id, activity_id, amount, captured, status, open, reference,
        placed_at, expires_at, closed_at, sequence,
    }
    wallet::Model = Totals {
        account_id, customer_id, credit_type_id, sequence, hash, newest_at, balance, held, issued, consumed,
        expired, voided, transferred, frozen_grants, caps, noticed_at, open_grants, last_begins_at,
    }
}

impl From<&account::Model> for ledger::Account {
    fn from(row: &account::Model) -> Self {
        Self {
            id: row.id,
            time_zone: row.time_zone.clone(),
            currency: row.currency.clone(),
            credits_enabled: row.credits_enabled,
            hold_limit_days: row.hold_limit_days,
        }
    }
}

impl From<&credit_type::Model> for ledger::CreditType {
    fn from(row: &credit_type::Model) -> Self {
        let days = row.expiry_notice_days.as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            id: row.id,
            policy: row.policy(),
            archived: row.archived_at.is_some(),
            low_balance_at: row.low_balance_at,
            expiry_notice_days: days.iter().filter_map(serde_json::Value::as_i64).collect(),
            noticed_from: row.noticed_from,
        }
    }
}

/// Rows as the heart has them, or the other way round.
#[must_use]
pub fn converted<A, B: From<A>>(all: Vec<A>) -> Vec<B> {
    all.into_iter().map(B::from).collect()
}
