//! Refusals as data: `userErrors` beside what a mutation would have answered.

use async_graphql::{Context, Enum, Interface, SimpleObject, Value};
use futures_util::future::BoxFuture;

use super::context::Ask;
use super::scalars::Credits;
use domain::ground::error::Code;
use domain::identity::access::{DONE, Noted};
use domain::{self, Error, Refusal};

/// What a client branches on. New ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Code", name = "UserErrorCode")]
pub enum UserErrorCode {
    /// A value is outside its limits; the message names them.
    Invalid,
    /// An id leads nowhere that this caller can see.
    NotFound,
    /// A value that must be unique belongs to another one already.
    Taken,
    /// The usable credits do not cover the amount. Nothing was used.
    InsufficientCredits,
    /// The account has its credits switched off.
    CreditsDisabled,
    /// The credit type is archived and issues no more.
    CreditTypeArchived,
    /// The credits would end before they could be used.
    ExpirationNotInFuture,
    /// The idempotency key was used for a different request.
    IdempotencyKeyReused,
    /// The grant has no free credits left.
    NothingToVoid,
    /// The hold was captured, released, or has lapsed.
    HoldClosed,
    /// The hold would last longer than the account's `holdLimitDays`.
    HoldTooLong,
    /// So many holds of the customer's credits of this type are open already.
    TooManyHolds,
    /// More was asked for than is left of the hold, or of what can be given back.
    MoreThanLeft,
    /// The activity used no credits, so there is nothing to give back.
    NotReversible,
    /// All that the activity used was given back before.
    AlreadyReversed,
    /// Who gives and who gets are the same customer.
    TransferToSelf,
    /// The customer is archived and gets no more credits.
    CustomerArchived,
    /// The grant never ends, or not before its first use.
    NoEndToExtend,
    /// Nothing is left in the grant that could be used for longer.
    NothingToExtend,
    /// The new end is not later than the one there is.
    ExtensionNotLater,
    /// The account is live: only a sandbox has a test clock.
    NotASandbox,
    /// The test clock shows a later instant already.
    ClockBackwards,
    /// Somebody is moving the test clock.
    ClockMoving,
    /// The job was not laid aside: it is tried by itself.
    JobNotDead,
    /// One part of a bulk operation failed, by a fault on the server's side.
    Fault,
    /// The product lacks something that it is sold with: a credit type, a price.
    ProductIncomplete,
    /// The product is a draft, or archived.
    ProductNotActive,
    /// The price is archived.
    PriceArchived,
    /// So many are not sold at once at this price.
    QuantityOutOfRange,
    /// The customer has ordered as much as one customer may at this price.
    LimitPerCustomer,
    /// One order is paid in one currency, or in credits.
    MixedPayment,
    /// Only a customer who has signed in, or staff, can order this.
    SignInRequired,
    /// The order is paid or cancelled already.
    OrderNotAwaitingPayment,
    /// The order was not paid, or everything went back already.
    OrderNotPaid,
    /// Some of the order's credits are set aside.
    CreditsHeld,
    /// Some of the order's credits are used, and `usedCredits` was not said.
    CreditsUsed,
    /// More than was paid and has not gone back yet.
    MoreThanPaid,
    /// Nothing of the order is left that could go back.
    NothingToRefund,
    /// The payment is disputed: its bank decides, so it is not refunded meanwhile.
    PaymentDisputed,
    /// The payment is in no dispute that could end so.
    NotDisputed,
    /// The order's credits were given to too many others.
    TooManyWallets,
    /// Some of the order's money is here: it has to go back before the order is given up.
    OrderPartlyPaid,
    /// Too many orders of strangers await payment.
    TooManyUnpaid,
    /// What this price gives would end before it begins: its last day is over.
    PriceOver,
    /// The part was given already, or its money went back.
    NothingToFulfil,
    /// The subscription is not in a state in which this can be done.
    SubscriptionStatus,
    /// An order of the subscription is not paid yet.
    SubscriptionOwes,
    /// The order renews a subscription, which is what is to be ended.
    OrderRenews,
    /// The account's payment provider charges a stored payment method, and none was given.
    PaymentMethodMissing,
    /// The customer walks this automation already.
    AlreadyEnrolled,
    /// The automation takes no new customers.
    AutomationDisabled,
    /// The enrolment is not in a state in which this can be done.
    EnrolmentStatus,
    /// Triggers and automations led to one another more often than they may.
    LoopLimit,
    /// More would come of one event than may.
    RunLimit,
    /// The webhook endpoint is disabled.
    EndpointDisabled,
    /// The delivery is under way already.
    DeliveryPending,
    /// The address leads into a private network.
    AddressNotPublic,
}

/// Why a mutation did nothing: a rule of the business said no. The request can be changed and sent again.
#[derive(Interface)]
#[graphql(
    name = "UserError",
    field(name = "code", ty = "&UserErrorCode", desc = "What a client branches on."),
    field(name = "message", ty = "&String", desc = "What happened and what to do next, in words for people."),
    field(
        name = "field",
        ty = "&Option<Vec<String>>",
        desc = "The path to the input's field that is to blame, if one is."
    )
)]
pub enum UserErrorInterface {
    OperationRefused(OperationRefused),
    InsufficientCredits(InsufficientCredits),
}

/// A refusal that its code and message say all about.
#[derive(SimpleObject)]
pub struct OperationRefused {
    /// What a client branches on.
    code: UserErrorCode,
    /// What happened and what to do next, in words for people.
    message: String,
    /// The path to the input's field that is to blame, if one is.
    field: Option<Vec<String>>,
}

/// The usable credits did not cover what was asked: nothing was used, and this is where the rest is.
#[derive(SimpleObject)]
pub struct InsufficientCredits {
    /// What a client branches on.
    code: UserErrorCode,
    /// What happened and what to do next, in words for people.
    message: String,
    /// The path to the input's field that is to blame, if one is.
    field: Option<Vec<String>>,
    /// How many credits were asked for.
    requested: Credits,
    /// How many could be used now.
    available: Credits,
    /// How many are set aside.
    held: Credits,
    /// How many ended unused, ever.
    expired: Credits,
    /// How many count only later.
    not_yet_effective: Credits,
    /// How many cannot be used while their payment is disputed.
    frozen: Credits,
}

impl UserErrorInterface {
    /// The answer that a key got when it was first sent.
    fn once_more(refusal: Refusal) -> Self {
        let mut answer = Self::from(refusal);
        let (Self::OperationRefused(OperationRefused { message, .. })
        | Self::InsufficientCredits(InsufficientCredits { message, .. })) = &mut answer;
        message
            .push_str(" This was the answer when the idempotency key was first sent: a new attempt needs a new key.");
        answer
    }
}

impl From<Refusal> for UserErrorInterface {
    fn from(refusal: Refusal) -> Self {
        let (code, message, field) = (refusal.code().into(), super::cut(&refusal.message()), refusal.field());
        match refusal {
            Refusal::InsufficientCredits { requested, available, held, expired, not_yet_effective, frozen, .. } => {
                Self::InsufficientCredits(InsufficientCredits {
                    code,
                    message,
                    field,
                    requested: Credits(requested),
                    available: Credits(available),
                    held: Credits(held),
                    expired: Credits(expired),
                    not_yet_effective: Credits(not_yet_effective),
                    frozen: Credits(frozen),
                })
            }
            _ => Self::OperationRefused(OperationRefused { code, message, field }),
        }
    }
}

/// Runs an operation; what its payload is made of: the answer, or why there is none.
/// It begins without the snapshot of the mutation before it, whose connection others may be waiting for,
/// and whatever is read after it sees what it wrote, and in a sandbox what followed from it.
pub(super) async fn answer<T>(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<T>>,
) -> async_graphql::Result<(Option<T>, Vec<UserErrorInterface>)> {
    let session = ctx.session()?;
    session.refresh();
    let result = operation.await;
    let outcome = result.as_ref().map_or_else(Error::name, |_| DONE);
    let name = ctx.field().name();
    let about = about(ctx);
    ctx.caller()?.note(&Noted { operation: name, about: about.as_deref(), outcome, request_id: session.id() });
    metrics::counter!("scrip_mutations_total", "mutation" => name.to_owned(), "outcome" => outcome).increment(1);
    if result.is_ok() {
        // In a box of no type: it leads to all that is ever done later, which the compiler would look through for each
        // mutation.
        let following: BoxFuture<'_, ()> = Box::pin(domain::work::test_clock::follow_up(ctx.caller()?));
        following.await;
    }
    session.refresh();
    match result {
        Ok(answer) => Ok((Some(answer), Vec::new())),
        Err(Error::Refused(refusal)) => Ok((None, vec![refusal.into()])),
        Err(Error::RefusedBefore(refusal)) => Ok((None, vec![UserErrorInterface::once_more(refusal)])),
        Err(error) => Err(error.into()),
    }
}

/// What a mutation is asked for: the id in its input that says most, its own, its customer's, another's; a credit type's last.
/// Of ids that others gave (`externalId`), and of what is none, nothing is kept: they may say who somebody is.
fn about(ctx: &Context<'_>) -> Option<String> {
    let arguments = ctx.field().arguments().ok()?;
    let Some((_, Value::Object(input))) = arguments.into_iter().next() else { return None };
    let rank = |name: &str| match name {
        "id" => Some(0),
        "customerId" => Some(1),
        "creditTypeId" => Some(3),
        other => other.ends_with("Id").then_some(2),
    };
    let ids = input.iter().filter_map(|(name, value)| match value {
        Value::String(id) if entity::is_id(id) => Some((rank(name)?, id)),
        _ => None,
    });
    ids.min_by_key(|(rank, _)| *rank).map(|(_, id)| id.clone())
}

/// The id in an input, or the refusal that names its field.
pub(super) fn id<T: std::str::FromStr>(field: &str, what: &str, id: &async_graphql::ID) -> Result<T, Refusal> {
    id.parse().map_err(|_| Refusal::not_found(field, what))
}
