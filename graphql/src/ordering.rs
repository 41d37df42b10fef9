//! Placing orders, and saying what becomes of them.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::context::Ask;
use super::orders::Order;
use super::payload::{UserErrorInterface, answer, id};
use super::receipts::OrderReceipt;
use super::scalars::{Credits, Json, Money, Whole};
use domain::sales::basket::{Basket, Wanted};
use domain::sales::orders::{self, Cancel};
use domain::sales::place::{self, Buyer, NewOrder};
use domain::sales::{forms, receipts};
use domain::{Caller, Error, Refusal, Role, Scope};

/// So much at a price.
#[derive(InputObject)]
pub struct OrderLineInput {
    /// The price.
    price_id: ID,
    /// How many units.
    quantity: Whole,
}

/// Who orders, without a token.
#[derive(InputObject)]
pub struct BuyerInput {
    /// The buyer's name: 1 to 255 characters.
    name: String,
    /// The buyer's e-mail address. The order goes to the customer who has it, who is made if there is none; nothing of
    /// that customer changes or shows.
    email: String,
}

/// An order to place.
#[derive(InputObject)]
pub struct OrderPlaceInput {
    /// Without a token: the account's slug. With one it may be left out.
    account: Option<String>,
    /// For staff: whose order it is. A customer orders for itself.
    customer_id: Option<ID>,
    /// Without a token: who orders.
    buyer: Option<BuyerInput>,
    /// 1 to 20 lines, all paid in one currency or all in credits. A subscription is ordered alone.
    lines: Vec<OrderLineInput>,
    /// What the buyer writes with it: at most 2,000 characters.
    note: Option<String>,
    /// A JSON object of the business's own, at most 16 KiB. For staff.
    metadata: Option<Json>,
    /// A stored method of the account's payment provider to charge; a subscription needs one where there is a provider.
    payment_method: Option<String>,
    /// 1 to 255 characters, the same for the same order however often it is sent: it is placed once. Without a token it
    /// must be a random UUID (version 4).
    idempotency_key: String,
    /// Only say what it would come to, in `preview`. Nothing is written, and the key is not looked at.
    #[graphql(default)]
    dry_run: bool,
}

/// An order to give up.
#[derive(InputObject)]
pub struct OrderCancelInput {
    /// The order, which awaits payment.
    order_id: ID,
    /// Why: at most 255 characters.
    reason: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent. Doing it twice changes nothing anyhow.
    idempotency_key: Option<String>,
    /// Only say whether it would be refused, and how many free credits it would void, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// What an operation on an order would come to.
#[derive(SimpleObject)]
pub struct OrderPreview {
    /// How much money: what would be paid, or go back. Null where it is in credits.
    pub amount: Option<Money>,
    /// How many credits it would issue, or cost; of a refund, how many would be voided, or go back.
    pub credits: Credits,
    /// Why some of what it is to give would not be given, though it is paid: each reason once for each part. The money for
    /// it can be refunded, and `orderFulfil` gives it after all.
    pub refused: Vec<UserErrorInterface>,
}

impl OrderPreview {
    fn of(basket: &Basket) -> Self {
        let amount = basket.currency.as_ref().map(|currency| Money::new(basket.total, currency));
        let credits = Credits(basket.lines.iter().map(|line| line.credits).sum());
        Self { amount, credits, refused: Vec::new() }
    }
}

/// What became of an operation on an order.
#[derive(SimpleObject)]
pub struct OrderPayload {
    /// The order as it is now; null if it was refused or a dry run.
    pub order: Option<Order>,
    /// What it would come to; null unless it was a dry run that nothing refused.
    pub preview: Option<OrderPreview>,
    /// The key was known: this is its first outcome once more. Nothing was done now.
    pub replayed: bool,
    /// Why it was refused.
    pub user_errors: Vec<UserErrorInterface>,
}

/// What became of `orderPlace`.
#[derive(SimpleObject)]
pub struct OrderPlacePayload {
    /// The order as it is now; null if it was refused, a dry run, or placed without a token.
    order: Option<Order>,
    /// The order as its buyer sees it, if it was placed without a token.
    receipt: Option<OrderReceipt>,
    /// The secret by which `orderReceipt` reads it again, if it was placed without a token.
    order_token: Option<String>,
    /// What it would come to; null unless it was a dry run that nothing refused.
    preview: Option<OrderPreview>,
    /// The key was known: this is its first outcome once more. Nothing was done now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What became of `orderCancel`.
#[derive(SimpleObject)]
pub struct OrderCancelPayload {
    /// The order as it is now; null if it was refused or a dry run.
    order: Option<Order>,
    /// What it would come to; null unless it was a dry run that nothing refused.
    preview: Option<OrderPreview>,
    /// The key was known: this is its first outcome once more. Nothing was done now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// The order as it is now, for a caller that may see it.
pub(super) async fn read(ctx: &Context<'_>, order: Option<entity::OrderId>) -> Result<Option<Order>> {
    let Some(order) = order else { return Ok(None) };
    Ok(ctx.reads(Scope::OwnRead).await?.orders.get(order).await?.map(Order))
}

/// Runs a keyed operation; the order, and whether this was its first outcome once more.
pub(super) async fn keyed(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<(entity::OrderId, bool)>>,
) -> Result<(Option<entity::OrderId>, bool, Vec<UserErrorInterface>)> {
    let mut again = false;
    let operation = async {
        let outcome = operation.await;
        again = matches!(outcome, Err(Error::RefusedBefore(_)) | Ok((_, true)));
        outcome
    };
    let (done, user_errors) = answer(ctx, operation).await?;
    Ok((done.map(|(order, _)| order), again, user_errors))
}

/// Says what an operation would come to.
pub(super) async fn rehearsed(
    ctx: &Context<'_>,
    preview: impl Future<Output = domain::Result<OrderPreview>>,
) -> Result<OrderPayload> {
    let (preview, user_errors) = answer(ctx, preview).await?;
    Ok(OrderPayload { order: None, preview, replayed: false, user_errors })
}

impl OrderPlaceInput {
    /// Who orders: this caller, or a stranger at the counter of the account that is named.
    async fn buyer_of(&self, caller: &Caller) -> domain::Result<Caller> {
        match &self.account {
            Some(slug) => {
                let visitor = caller.at_counter(slug).await?;
                visitor.ok_or_else(|| Refusal::not_found("account", "account").into())
            }
            None if caller.role() == Role::Anyone => {
                Err(Refusal::invalid("account", "Say where to order: give the account's slug.").into())
            }
            None => Ok(caller.clone()),
        }
    }

    fn order(self) -> Result<NewOrder, Refusal> {
        let customer = self.customer_id.map(|it| id("customerId", "customer", &it)).transpose()?;
        if customer.is_some() && self.buyer.is_some() {
            return Err(Refusal::invalid("buyer", "Give either customerId or buyer."));
        }
        let buyer = match self.buyer {
            Some(buyer) => Buyer::Anonymous { name: buyer.name, email: buyer.email },
            None => Buyer::Customer(customer),
        };
        let line = |(number, line): (usize, OrderLineInput)| {
            let price = id(&format!("lines.{number}.priceId"), "price", &line.price_id)?;
            Ok(Wanted { price, quantity: i64::from(line.quantity.0) })
        };
        Ok(NewOrder {
            buyer,
            lines: self.lines.into_iter().enumerate().map(line).collect::<Result<_, Refusal>>()?,
            note: self.note,
            metadata: self.metadata.map(|json| json.0),
            payment_method: self.payment_method,
        })
    }
}

#[derive(Default)]
pub struct OrderMutation;

#[Object]
impl OrderMutation {
    /// Place an order. Staff orders for a customer, a customer for itself, and anyone with a name and an e-mail address,
    /// once the account is named. What costs nothing is paid at once, and so is what costs credits that are there: they
    /// are consumed in the same transaction, or the order is refused whole.
    async fn order_place(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order.")] input: OrderPlaceInput,
    ) -> Option<Result<OrderPlacePayload>> {
        Some(Box::pin(place_order(ctx, input)).await)
    }

    /// Cancel an order that awaits payment. For staff, and for the customer whose it is.
    async fn order_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order.")] input: OrderCancelInput,
    ) -> Option<Result<OrderCancelPayload>> {
        let done = Box::pin(async {
            let order = || id("orderId", "order", &input.order_id);
            let cancel = || Ok::<_, Refusal>(Cancel { order: order()?, reason: input.reason.clone() });
            if input.dry_run {
                let preview = async {
                    let credits = Credits(orders::preview_cancel(ctx.caller()?, cancel()?).await?);
                    Ok(OrderPreview { amount: None, credits, refused: Vec::new() })
                };
                let (preview, user_errors) = answer(ctx, preview).await?;
                return Ok(OrderCancelPayload { order: None, preview, replayed: false, user_errors });
            }
            let key = input.idempotency_key.as_deref();
            let cancelled = Box::pin(async { orders::cancel(ctx.caller()?, cancel()?, key).await });
            let (order, replayed, user_errors) = keyed(ctx, cancelled).await?;
            Ok(OrderCancelPayload { order: read(ctx, order).await?, preview: None, replayed, user_errors })
        });
        Some(done.await)
    }
}

async fn place_order(ctx: &Context<'_>, input: OrderPlaceInput) -> Result<OrderPlacePayload> {
    let empty = OrderPlacePayload {
        order: None,
        receipt: None,
        order_token: None,
        preview: None,
        replayed: false,
        user_errors: Vec::new(),
    };
    let (buyer, user_errors) = answer(ctx, async { input.buyer_of(ctx.caller()?).await }).await?;
    let Some(buyer) = buyer else { return Ok(OrderPlacePayload { user_errors, ..empty }) };
    let (key, dry_run) = (input.idempotency_key.clone(), input.dry_run);
    if dry_run {
        let preview = async { Ok(OrderPreview::of(&forms::preview(&buyer, input.order()?).await?)) };
        let (preview, user_errors) = answer(ctx, preview).await?;
        return Ok(OrderPlacePayload { preview, user_errors, ..empty });
    }
    let placed = Box::pin(async { place::place(&buyer, input.order()?, &key).await });
    let (order, replayed, user_errors) = keyed(ctx, placed).await?;
    let answered = OrderPlacePayload { replayed, user_errors, ..empty };
    match order {
        Some(order) if buyer.role() == Role::Anyone => {
            let token = receipts::token_of(&buyer, order)?;
            let receipt = receipts::by_token(&buyer, &token).await?.map(OrderReceipt);
            Ok(OrderPlacePayload { receipt, order_token: Some(token), ..answered })
        }
        order => Ok(OrderPlacePayload { order: read(ctx, order).await?, ..answered }),
    }
}
