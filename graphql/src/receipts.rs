//! What a stranger sees of the order it placed.

use async_graphql::{Context, Description, Object, Result, SimpleObject};

use super::context::Ask;
use super::list::List;
use super::orders::OrderStatus;
use super::payments::PaymentStatus;
use super::price_terms::whole;
use super::scalars::{Credits, CurrencyCode, DateTime, Money, Url};
use domain::sales::receipts::{self, Receipt};

/// An order as whoever placed it without a token sees it: nothing of the customer whose order it became.
#[derive(Description)]
pub struct OrderReceipt(pub Receipt);

#[Object(use_type_description)]
impl OrderReceipt {
    /// 1, 2, 3 … within the account.
    fn number(&self) -> i32 {
        whole(self.0.order.number)
    }

    /// How far it is.
    fn status(&self) -> OrderStatus {
        self.0.order.status.into()
    }

    /// What is to be paid.
    fn total(&self) -> Option<Money> {
        self.0.order.currency.as_ref().map(|currency| Money::new(self.0.order.total, currency))
    }

    /// What was ordered.
    fn lines(&self) -> List<ReceiptLine> {
        let line = |(row, product): &(entity::order_line::Model, Option<entity::product::Model>)| ReceiptLine {
            name: product.as_ref().map(|product| product.name.clone()).unwrap_or_default(),
            quantity: whole(row.quantity),
            amount: self.0.order.currency.as_ref().map(|currency| Money::new(row.amount, currency)),
            credits: Credits(row.credits),
            thank_you: product.as_ref().and_then(|product| product.thank_you.clone()),
            redirect_url: product.as_ref().and_then(|product| product.redirect_url.clone()).map(Url),
        };
        self.0.lines.iter().map(line).collect()
    }

    /// The name that the buyer gave.
    fn buyer_name(&self) -> Option<&str> {
        self.0.order.buyer_name.as_deref()
    }

    /// The e-mail address that the buyer gave.
    fn buyer_email(&self) -> Option<&str> {
        self.0.order.buyer_email.as_deref()
    }

    /// How far its newest payment is, where a payment provider settles it.
    fn payment_status(&self) -> Option<PaymentStatus> {
        self.0.payment.as_ref().map(|payment| payment.status.into())
    }

    /// Where the buyer goes on to pay, if something is to be done.
    fn action_url(&self) -> Option<Url> {
        self.0.payment.as_ref().and_then(|payment| payment.action_url.clone()).map(Url)
    }

    /// The currency; null if it is paid in credits.
    fn currency(&self) -> Option<CurrencyCode> {
        self.0.order.currency.clone().map(CurrencyCode)
    }

    /// When it was placed.
    fn placed_at(&self) -> DateTime {
        DateTime(self.0.order.placed_at)
    }

    /// When it was paid.
    fn paid_at(&self) -> Option<DateTime> {
        self.0.order.paid_at.map(DateTime)
    }
}

/// So much of a product, as its buyer sees it.
#[derive(SimpleObject)]
pub struct ReceiptLine {
    /// What was ordered.
    name: String,
    /// How many units.
    quantity: i32,
    /// What it costs.
    amount: Option<Money>,
    /// How many credits it issues.
    credits: Credits,
    /// What buyers read after the order.
    thank_you: Option<String>,
    /// Where buyers go after the order.
    redirect_url: Option<Url>,
}

#[derive(Default)]
pub struct ReceiptQuery;

#[Object]
impl ReceiptQuery {
    /// An order that was placed without a token, by the secret that was answered then; null if there is none.
    async fn order_receipt(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The secret: `orderToken` of `orderPlace`.")] token: String,
    ) -> Option<Result<OrderReceipt>> {
        let found = async {
            ctx.leave_company()?;
            Ok(receipts::by_token(ctx.caller()?, &token).await?.map(OrderReceipt))
        };
        found.await.transpose()
    }
}
