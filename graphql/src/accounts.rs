//! The account, its settings, and who is asking.

use std::time::Duration;

use async_graphql::{Context, Description, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject, Union};
use entity::account::{Mode, Model};

use super::api_keys::ApiKey;
use super::context::Ask;
use super::customers::Customer;
use super::payload::{UserErrorInterface, answer};
use super::scalars::{CurrencyCode, DateTime, TimeZone, Url, Whole};
use domain::accounts::{self, Changes, NewAccount, api_keys};
use domain::{Error, Refusal, Role, Scope};

/// How long the token that `accountCreate` answers is good for.
const FIRST_TOKEN: Duration = Duration::from_hours(24);

/// Whether an account serves people or tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Mode", name = "AccountMode")]
pub enum AccountMode {
    /// Serves people, and follows the clock on the wall.
    Live,
    /// Serves tests: its clock stands still.
    Sandbox,
}

/// A business: it owns the customers, the credit types and the ledger.
#[derive(Description)]
pub struct Account(pub Model);

#[Object(use_type_description)]
impl Account {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that people read.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its name in public links: 3 to 40 of the characters `a-z`, `0-9` and `-`.
    fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The zone in which its days begin and end.
    fn time_zone(&self) -> TimeZone {
        TimeZone(self.0.time_zone.clone())
    }

    /// The currency of money that names none.
    fn currency(&self) -> CurrencyCode {
        CurrencyCode(self.0.currency.clone())
    }

    /// Whether credits are issued and consumed. While they are not, customers see no balances and staff still reads.
    fn credits_enabled(&self) -> bool {
        self.0.credits_enabled
    }

    /// Whether it serves people or tests.
    fn mode(&self) -> AccountMode {
        self.0.mode.into()
    }

    /// What a sandbox's test clock shows; null for a live account.
    fn clock_at(&self) -> Option<DateTime> {
        self.0.clock_at.map(DateTime)
    }

    /// How many days a hold may last.
    fn hold_limit_days(&self) -> i32 {
        self.0.hold_limit_days
    }

    /// Who settles orders: `manual`, where staff says so, or a payment provider that this server knows.
    fn payment_provider(&self) -> &str {
        &self.0.payment_provider
    }

    /// Days after its period began until an unpaid renewal is past due.
    fn renewal_due_days(&self) -> i32 {
        self.0.renewal_due_days
    }

    /// Days that a subscription goes on with a renewal past due before it is cancelled.
    fn renewal_grace_days(&self) -> i32 {
        self.0.renewal_grace_days
    }

    /// Days for which events are kept.
    fn event_days(&self) -> i32 {
        self.0.event_days
    }

    /// Days for which an order is kept that somebody without a token placed and nobody pays.
    fn order_days(&self) -> i32 {
        self.0.order_days
    }

    /// The name that messages to customers come from.
    fn sender_name(&self) -> Option<&str> {
        self.0.sender_name.as_deref()
    }

    /// The address of its logo.
    fn logo_url(&self) -> Option<Url> {
        self.0.logo_url.clone().map(Url)
    }

    /// The e-mail address where customers find help.
    fn support_address(&self) -> Option<&str> {
        self.0.support_address.as_deref()
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// Someone who works in the business.
#[derive(SimpleObject)]
pub struct Staff {
    /// The subject of the token: whatever the business calls this person.
    subject: String,
    /// Whether this is an owner, who may also change the account's settings.
    owner: bool,
}

/// Who is asking.
#[derive(Union)]
pub enum Viewer {
    Staff(Staff),
    ApiKey(ApiKey),
    Customer(Customer),
}

#[derive(Default)]
pub struct AccountQuery;

#[Object]
impl AccountQuery {
    /// Who is asking: someone of staff, a program with an API key, or a customer. Null for an operator, who belongs to no
    /// account.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Result<Viewer>> {
        let viewer = async {
            let caller = ctx.caller()?;
            Ok(match caller.role() {
                Role::Operator => None,
                Role::Customer(id) => {
                    let row = ctx.reads(Scope::OwnRead).await?.customers.get(id).await?;
                    Some(Viewer::Customer(Customer(row.ok_or(Error::Unauthenticated)?)))
                }
                Role::Key(id, _) => {
                    ctx.leave_company()?;
                    let view = caller.view_of_answer().await?;
                    let key = api_keys::by_ids(&view, &[id]).await?.remove(&id).ok_or(Error::Unauthenticated)?;
                    Some(Viewer::ApiKey(ApiKey(key)))
                }
                role => {
                    ctx.reads(Scope::StaffRead).await?;
                    Some(Viewer::Staff(Staff { subject: caller.subject().to_owned(), owner: role == Role::Owner }))
                }
            })
        };
        viewer.await.transpose()
    }

    /// The account that the token belongs to.
    async fn account(&self, ctx: &Context<'_>) -> Result<Account> {
        Ok(Account(ctx.reads(Scope::OwnRead).await?.account().clone()))
    }
}

/// A business that joins.
#[derive(InputObject)]
pub struct AccountCreateInput {
    /// The name that people read.
    name: String,
    /// Its name in public links: 3 to 40 of the characters `a-z`, `0-9` and `-`. Unique.
    slug: String,
    /// The zone in which its days begin and end.
    time_zone: TimeZone,
    /// The currency of money that names none.
    currency: CurrencyCode,
    /// Whether it serves people or tests.
    #[graphql(default_with = "AccountMode::Live")]
    mode: AccountMode,
    /// What a sandbox's test clock shows. The server's time if left out.
    clock_at: Option<DateTime>,
}

/// What became of `accountCreate`.
#[derive(SimpleObject)]
pub struct AccountCreatePayload {
    /// The new account; null if it was refused.
    account: Option<Account>,
    /// A token for its owner, good for one day. It is answered this once.
    owner_token: Option<String>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What changes in the account. What is left out stays; null clears where something may be absent.
#[derive(InputObject)]
pub struct AccountUpdateInput {
    /// The name that people read.
    name: MaybeUndefined<String>,
    /// Its name in public links. Links with the former one end.
    slug: MaybeUndefined<String>,
    /// The zone in which its days begin and end. What is issued already keeps its own.
    time_zone: MaybeUndefined<TimeZone>,
    /// The currency of money that names none.
    currency: MaybeUndefined<CurrencyCode>,
    /// Whether credits are issued and consumed.
    credits_enabled: MaybeUndefined<bool>,
    /// How many days a hold may last: 1 to 3,660. 366 unless it is changed.
    hold_limit_days: MaybeUndefined<Whole>,
    /// Who settles orders: `manual`, or a payment provider that this server knows; a sandbox has `rehearsal`.
    payment_provider: MaybeUndefined<String>,
    /// Days after its period began until an unpaid renewal is past due: 0 to 366. 7 unless it is changed.
    renewal_due_days: MaybeUndefined<Whole>,
    /// Days that a subscription goes on with a renewal past due before it is cancelled: 0 to 366. 14 unless it is changed.
    renewal_grace_days: MaybeUndefined<Whole>,
    /// Days for which events are kept: 1 to 3,660. 90 unless it is changed.
    event_days: MaybeUndefined<Whole>,
    /// Days for which an order is kept that somebody without a token placed and nobody pays: 1 to 366. 30 unless it is
    /// changed.
    order_days: MaybeUndefined<Whole>,
    /// The name that messages to customers come from.
    sender_name: MaybeUndefined<String>,
    /// The address of its logo.
    logo_url: MaybeUndefined<Url>,
    /// The e-mail address where customers find help.
    support_address: MaybeUndefined<String>,
}

/// What became of `accountUpdate`.
#[derive(SimpleObject)]
pub struct AccountUpdatePayload {
    /// The account as it is now; null if the change was refused.
    account: Option<Account>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    /// Create an account, with credits enabled. For operators; owners may create sandboxes.
    async fn account_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The business.")] input: AccountCreateInput,
    ) -> Option<Result<AccountCreatePayload>> {
        let new = NewAccount {
            name: input.name,
            slug: input.slug,
            time_zone: input.time_zone.0,
            currency: input.currency.0,
            mode: input.mode.into(),
            clock_at: input.clock_at.map(|at| at.0),
        };
        let created = async {
            let account = accounts::create(ctx.caller()?, new).await?;
            let token = ctx.tokens()?.make(Some(account.id), Role::Owner, "owner", FIRST_TOKEN)?;
            Ok((Account(account), token))
        };
        let answered = answer(ctx, created).await;
        Some(answered.map(|(created, user_errors)| {
            let (account, owner_token) = created.unzip();
            AccountCreatePayload { account, owner_token, user_errors }
        }))
    }

    /// Change the account's settings. For its owner.
    async fn account_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: AccountUpdateInput,
    ) -> Option<Result<AccountUpdatePayload>> {
        let updated = async {
            let changes = Changes {
                name: kept("name", input.name)?,
                slug: kept("slug", input.slug)?,
                time_zone: kept("timeZone", input.time_zone)?.map(|zone| zone.0),
                currency: kept("currency", input.currency)?.map(|currency| currency.0),
                credits_enabled: kept("creditsEnabled", input.credits_enabled)?,
                hold_limit_days: kept("holdLimitDays", input.hold_limit_days)?.map(|days| days.0),
                payment_provider: kept("paymentProvider", input.payment_provider)?,
                renewal_due_days: kept("renewalDueDays", input.renewal_due_days)?.map(|days| days.0),
                renewal_grace_days: kept("renewalGraceDays", input.renewal_grace_days)?.map(|days| days.0),
                event_days: kept("eventDays", input.event_days)?.map(|days| days.0),
                order_days: kept("orderDays", input.order_days)?.map(|days| days.0),
                sender_name: changed(input.sender_name),
                logo_url: changed(input.logo_url).map(|url| url.map(|url| url.0)),
                support_address: changed(input.support_address),
            };
            accounts::update(ctx.caller()?, changes).await
        };
        let answered = answer(ctx, updated).await;
        Some(answered.map(|(row, user_errors)| AccountUpdatePayload { account: row.map(Account), user_errors }))
    }
}

/// Left out, or set: what cannot be absent is not cleared.
pub(super) fn kept<T>(field: &str, value: MaybeUndefined<T>) -> Result<Option<T>, Refusal> {
    match value {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(Refusal::invalid(field, "Must not be null. Leave it out to keep what there is.")),
        MaybeUndefined::Value(value) => Ok(Some(value)),
    }
}

/// Left out, or set, where null is as good as what an empty value is.
pub(super) fn or_empty<T>(value: MaybeUndefined<T>, empty: T) -> Option<T> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(empty),
        MaybeUndefined::Value(value) => Some(value),
    }
}

/// Left out, cleared, or set.
pub(super) fn changed<T>(value: MaybeUndefined<T>) -> Option<Option<T>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}
