//! Money of orders: paid, disputed, given back; and what was paid for and could not be given.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};

use super::context::Ask;
use super::expiration::ExpirationInput;
use super::ordering::{OrderPayload, OrderPreview, keyed, read, rehearsed};
use super::payload::id;
use super::scalars::{Credits, DateTime, MinorUnits, Money, Whole};
use domain::Refusal;
use domain::sales::disputes::{self, Dispute, Outcome};
use domain::sales::payments::{self, MarkPaid, Record};
use domain::sales::refunds::{self, NewRefund, Part};
use domain::sales::unfulfilled::{self, Fulfil};

/// An order that is paid.
#[derive(InputObject)]
pub struct OrderMarkPaidInput {
    /// The order.
    order_id: ID,
    /// What the payment is called elsewhere, such as in the bank's statement: at most 255 characters, unique. A new one on an
    /// order that is paid, or given up, is a further payment.
    reference: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: String,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// Money that came for an order.
#[derive(InputObject)]
pub struct PaymentRecordInput {
    /// The order.
    order_id: ID,
    /// How much, in the minor unit of the order's currency. What completes the total pays the order; what goes beyond can
    /// be refunded.
    amount: MinorUnits,
    /// What the payment is called elsewhere: at most 255 characters, unique.
    reference: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: String,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// How a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Outcome", name = "DisputeOutcome")]
pub enum DisputeOutcome {
    /// The payer says that it was not so: what is free of the order is frozen.
    Opened,
    /// The money stays: it can be used again.
    Won,
    /// The money is gone: what is free is voided, what was used is lost, unless other money covers the order.
    Lost,
    /// The money is back after all: what losing it took comes back.
    Reinstated,
}

/// A dispute of a payment that was made by hand.
#[derive(InputObject)]
pub struct DisputeRecordInput {
    /// The payment. Those of a payment provider are reported by it.
    payment_id: ID,
    /// How it stands.
    outcome: DisputeOutcome,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: String,
    /// Only say what it would come to, in `preview`: the money, and how many free credits.
    #[graphql(default)]
    dry_run: bool,
}

/// What an order could not give when it was paid.
#[derive(InputObject)]
pub struct OrderFulfilInput {
    /// The order.
    order_id: ID,
    /// The line: 0 is the first.
    position: Whole,
    /// When the credits end; as the line, or else the credit type, says if left out.
    expiration: Option<ExpirationInput>,
    /// From when on they count; from now on if left out.
    effective_at: Option<DateTime>,
    /// Why: 1 to 255 characters. Only staff sees it.
    reason: String,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: String,
    /// Only say how many credits it would give, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// So much of a line of an order: credits, or an amount.
#[derive(InputObject)]
pub struct OrderRefundLineInput {
    /// The line: 0 is the first.
    position: Whole,
    /// So many unused credits, at what they cost.
    credits: Option<Credits>,
    /// So much, in the minor unit of the order's currency.
    amount: Option<MinorUnits>,
}

/// An order to refund.
#[derive(InputObject)]
pub struct OrderRefundInput {
    /// The order.
    order_id: ID,
    /// How much, in the minor unit of the order's currency. If nothing says how much: what its unused credits had cost, what
    /// lines cost that issued none, and money beyond the total, which goes back first and takes no credits. Not for an order that was paid in credits, of which all go
    /// back; those whose grant has ended since end at once: `activityReverse` can reissue them.
    amount: Option<MinorUnits>,
    /// Instead of an amount: so many unused credits, at what they cost; those that would be used last go back.
    credits: Option<Credits>,
    /// Instead of both, and needed where several lines issue credits: so much of these lines.
    lines: Option<Vec<OrderRefundLineInput>>,
    /// Whether it goes on to credits that ended, were used (last used first) or were given away. They are marked, or voided
    /// where others still have them: what comes back later of what was refunded is voided. Without an amount: all that was
    /// paid.
    #[graphql(default)]
    used_credits: bool,
    /// Whether the unused credits stay with the customer, for a refund out of goodwill: they cost less from then on.
    /// Otherwise as few of them are voided as cost the amount.
    #[graphql(default)]
    keep_credits: bool,
    /// Why: 1 to 255 characters. The customer sees it.
    reason: String,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: String,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

fn parts(lines: &[OrderRefundLineInput]) -> Result<Vec<(i32, Part)>, Refusal> {
    let part = |(at, line): (usize, &OrderRefundLineInput)| match (&line.credits, &line.amount) {
        (Some(credits), None) => Ok((line.position.0, Part::Credits(credits.0))),
        (None, Some(amount)) => Ok((line.position.0, Part::Amount(amount.0))),
        _ => Err(Refusal::invalid(&format!("lines.{at}"), "Give either credits or amount.")),
    };
    lines.iter().enumerate().map(part).collect()
}

fn received(preview: payments::Preview) -> OrderPreview {
    let amount = preview.currency.map(|currency| Money::new(preview.amount, &currency));
    let refused = preview.refused.into_iter().map(Into::into).collect();
    OrderPreview { amount, credits: Credits(preview.credits), refused }
}

#[derive(Default)]
pub struct SettlingMutation;

#[Object]
impl SettlingMutation {
    /// Mark an order paid, and issue what it gives: in one transaction, exactly once. It pays what is open; of an order that
    /// is paid, or given up, a new reference records a further payment of the whole. For staff.
    async fn order_mark_paid(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order.")] input: OrderMarkPaidInput,
    ) -> Option<Result<OrderPayload>> {
        let done = Box::pin(async {
            let order = || id("orderId", "order", &input.order_id);
            if input.dry_run {
                let preview = async {
                    let of = (None, input.reference.clone());
                    Ok(received(payments::preview(ctx.caller()?, order()?, of).await?))
                };
                return Box::pin(rehearsed(ctx, preview)).await;
            }
            let paid = Box::pin(async {
                let paid = MarkPaid { order: order()?, reference: input.reference.clone() };
                payments::mark_paid(ctx.caller()?, paid, &input.idempotency_key).await
            });
            let (order, replayed, user_errors) = keyed(ctx, paid).await?;
            Ok(OrderPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }

    /// Record money that came for an order: any amount, in one part or several. What completes the total pays the order, as
    /// `orderMarkPaid` does; until then it awaits the rest. For staff.
    async fn payment_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The payment.")] input: PaymentRecordInput,
    ) -> Option<Result<OrderPayload>> {
        let done = Box::pin(async {
            let order = || id("orderId", "order", &input.order_id);
            if input.dry_run {
                let preview = async {
                    let of = (Some(input.amount.0), input.reference.clone());
                    Ok(received(payments::preview(ctx.caller()?, order()?, of).await?))
                };
                return Box::pin(rehearsed(ctx, preview)).await;
            }
            let recorded = Box::pin(async {
                let (amount, reference) = (input.amount.0, input.reference.clone());
                let record = Record { order: order()?, amount, reference };
                payments::record(ctx.caller()?, record, &input.idempotency_key).await
            });
            let (order, replayed, user_errors) = keyed(ctx, recorded).await?;
            Ok(OrderPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }

    /// Record how a dispute of a payment stands that was made by hand; payment providers report theirs. For staff.
    async fn dispute_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The payment and the outcome.")] input: DisputeRecordInput,
    ) -> Option<Result<OrderPayload>> {
        let done = Box::pin(async {
            let dispute = || {
                let payment = id("paymentId", "payment", &input.payment_id)?;
                Ok::<_, Refusal>(Dispute { payment, outcome: input.outcome.into() })
            };
            if input.dry_run {
                let preview = async {
                    let preview = disputes::preview(ctx.caller()?, dispute()?).await?;
                    let amount = Some(Money::new(preview.amount, &preview.currency));
                    Ok(OrderPreview { amount, credits: Credits(preview.credits), refused: Vec::new() })
                };
                return Box::pin(rehearsed(ctx, preview)).await;
            }
            let key = &input.idempotency_key;
            let recorded = Box::pin(async { disputes::record(ctx.caller()?, dispute()?, key).await });
            let (order, replayed, user_errors) = keyed(ctx, recorded).await?;
            Ok(OrderPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }

    /// Give what a paid order could not give when it was paid, as where its date had passed: each part once, until its money
    /// went back. For staff.
    async fn order_fulfil(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The line and the reason.")] input: OrderFulfilInput,
    ) -> Option<Result<OrderPayload>> {
        let OrderFulfilInput { order_id, position, expiration, effective_at, reason, idempotency_key, dry_run } = input;
        let done = Box::pin(async {
            let wanted = (|| {
                Ok::<_, Refusal>(Fulfil {
                    order: id("orderId", "order", &order_id)?,
                    position: position.0,
                    expiration: expiration.map(ExpirationInput::policy).transpose()?,
                    effective_at: effective_at.map(|at| at.0),
                    reason,
                })
            })();
            if dry_run {
                let preview = async {
                    let credits = Credits(unfulfilled::preview(ctx.caller()?, wanted?).await?);
                    Ok(OrderPreview { amount: None, credits, refused: Vec::new() })
                };
                return Box::pin(rehearsed(ctx, preview)).await;
            }
            let given = Box::pin(async { unfulfilled::fulfil(ctx.caller()?, wanted?, &idempotency_key).await });
            let (order, replayed, user_errors) = keyed(ctx, given).await?;
            Ok(OrderPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }

    /// Refund an order: by default what its unused credits had cost, which are voided. For staff.
    async fn order_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order and the reason.")] input: OrderRefundInput,
    ) -> Option<Result<OrderPayload>> {
        let done = Box::pin(async {
            let new = || {
                Ok::<_, Refusal>(NewRefund {
                    order: id("orderId", "order", &input.order_id)?,
                    amount: input.amount.as_ref().map(|amount| amount.0),
                    credits: input.credits.as_ref().map(|credits| credits.0),
                    lines: parts(input.lines.as_deref().unwrap_or_default())?,
                    used_credits: input.used_credits,
                    keep_credits: input.keep_credits,
                    reason: input.reason.clone(),
                })
            };
            if input.dry_run {
                let preview = async {
                    let preview = refunds::preview(ctx.caller()?, new()?).await?;
                    let amount = preview.currency.map(|currency| Money::new(preview.amount, &currency));
                    Ok(OrderPreview { amount, credits: Credits(preview.credits), refused: Vec::new() })
                };
                return Box::pin(rehearsed(ctx, preview)).await;
            }
            let refunded = Box::pin(async { refunds::refund(ctx.caller()?, new()?, &input.idempotency_key).await });
            let (order, replayed, user_errors) = keyed(ctx, refunded).await?;
            Ok(OrderPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }
}
