//! Accounts: the businesses on this server, and their settings.

pub mod api_keys;
pub mod identity;
pub mod key_set;
pub mod tokens;

use entity::AccountId;
use entity::account::{ActiveModel, Column, Entity, Mode, Model};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set};

use crate::ground::clock::{Instant, fresh_id, truncate};
use crate::ground::error::{Error, Refusal, Result, is_taken};
use crate::ground::input;
use crate::ground::scope::{Role, Scope};
use crate::identity::caller::{Caller, transact};
use crate::queue::housekeeping;
use crate::storage::ports::payments::MANUAL;
use crate::storage::store::Store;

/// How many days a hold may last, unless the owner says otherwise.
const HOLD_LIMIT: i32 = 366;
/// How many days the owner may say.
const HOLD_MOST: i32 = 3_660;
/// Days until an unpaid renewal is past due, and until its subscription is then cancelled, unless the owner says otherwise.
const RENEWAL_DAYS: (i32, i32) = (7, 14);
/// How many days the owner may say.
const RENEWAL_MOST: i32 = 366;

/// Days for which an order of a stranger that nobody pays is kept, if nothing else is said, and at most.
const ORDER_DAYS: i32 = 30;
const ORDER_MOST: i32 = 366;
/// Days for which events are kept, unless the owner says otherwise.
const EVENT_DAYS: i32 = 90;
/// How many days the owner may say.
const EVENT_MOST: i32 = 3_660;

/// A business that is about to join.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub name: String,
    pub slug: String,
    pub time_zone: String,
    pub currency: String,
    pub mode: Mode,
    /// What a sandbox's test clock shows; the server's time if left out.
    pub clock_at: Option<Instant>,
}

/// What an owner changes; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub slug: Option<String>,
    pub time_zone: Option<String>,
    pub currency: Option<String>,
    pub credits_enabled: Option<bool>,
    pub hold_limit_days: Option<i32>,
    pub payment_provider: Option<String>,
    pub renewal_due_days: Option<i32>,
    pub renewal_grace_days: Option<i32>,
    pub event_days: Option<i32>,
    pub order_days: Option<i32>,
    /// `Some(None)` clears it; likewise below.
    pub sender_name: Option<Option<String>>,
    pub logo_url: Option<Option<String>>,
    pub support_address: Option<Option<String>>,
}

/// Creates an account, with credits enabled. An owner may create sandboxes.
pub async fn create(caller: &Caller, new: NewAccount) -> Result<Model> {
    if !(new.mode == Mode::Sandbox && caller.role() == Role::Owner) {
        caller.authorise_operator()?;
    }
    let name = input::text("name", &new.name, input::NAME)?;
    let slug = input::slug("slug", &new.slug)?;
    let time_zone = input::time_zone("timeZone", &new.time_zone)?;
    let currency = input::currency("currency", &new.currency)?;
    let store = caller.app().store();
    let now = store.clock.now();
    let clock_at = match (new.mode, new.clock_at) {
        (Mode::Live, Some(_)) => {
            return Err(Refusal::invalid("clockAt", "Only a sandbox has a test clock. Use mode SANDBOX.").into());
        }
        (Mode::Live, None) => None,
        (Mode::Sandbox, at) => Some(input::instant("clockAt", at.map_or(now, truncate))?),
    };
    let id = AccountId(fresh_id());
    let account = Model {
        id,
        slug,
        name,
        time_zone,
        currency,
        credits_enabled: true,
        mode: new.mode,
        clock_at,
        sender_name: None,
        logo_url: None,
        support_address: None,
        key_check: store.key.check(id),
        hold_limit_days: HOLD_LIMIT,
        payment_provider: MANUAL.to_owned(),
        renewal_due_days: RENEWAL_DAYS.0,
        renewal_grace_days: RENEWAL_DAYS.1,
        followed: serde_json::json!([]),
        event_days: EVENT_DAYS,
        order_days: ORDER_DAYS,
        created_at: now,
        updated_at: now,
    };
    let txn = store.begin().await?;
    let made = account.into_active_model().insert(&txn).await;
    let made = made.map_err(refuse_taken)?;
    housekeeping::schedule(&txn, &made, clock_at.unwrap_or(now), false).await?;
    txn.commit().await?;
    Ok(made)
}

/// Changes the caller's account.
pub async fn update(caller: &Caller, changes: Changes) -> Result<Model> {
    transact!(caller, Scope::AccountWrite, |tx| {
        let changes = changes.clone();
        let optional = |field: &str, value: Option<String>| input::optional_text(field, value.as_deref(), input::NAME);
        let mut account: ActiveModel = tx.account.clone().into_active_model();
        if let Some(name) = changes.name {
            account.name = Set(input::text("name", &name, input::NAME)?);
        }
        if let Some(slug) = changes.slug {
            account.slug = Set(input::slug("slug", &slug)?);
        }
        if let Some(zone) = changes.time_zone {
            account.time_zone = Set(input::time_zone("timeZone", &zone)?);
        }
        if let Some(currency) = changes.currency {
            account.currency = Set(input::currency("currency", &currency)?);
        }
        if let Some(enabled) = changes.credits_enabled {
            account.credits_enabled = Set(enabled);
        }
        if let Some(name) = changes.sender_name {
            account.sender_name = Set(optional("senderName", name)?);
        }
        if let Some(url) = changes.logo_url {
            account.logo_url =
                Set(url.filter(|url| !url.trim().is_empty()).map(|url| input::url("logoUrl", &url)).transpose()?);
        }
        if let Some(address) = changes.support_address {
            let address = address.filter(|address| !address.trim().is_empty());
            account.support_address =
                Set(address.map(|address| input::email("supportAddress", &address)).transpose()?);
        }
        if let Some(days) = changes.hold_limit_days {
            if !(1..=HOLD_MOST).contains(&days) {
                return Err(Refusal::invalid("holdLimitDays", format!("Must be 1 to {HOLD_MOST}.")).into());
            }
            account.hold_limit_days = Set(days);
        }
        if let Some(name) = changes.payment_provider {
            let provider = caller.app().providers().of_account(&tx.account, &name);
            account.payment_provider = Set(provider?.name().to_owned());
        }
        let days = |field: &str, days: i32| {
            let refused = || Refusal::invalid(field, format!("Must be 0 to {RENEWAL_MOST}."));
            (0..=RENEWAL_MOST).contains(&days).then_some(days).ok_or_else(refused)
        };
        if let Some(due) = changes.renewal_due_days {
            account.renewal_due_days = Set(days("renewalDueDays", due)?);
        }
        if let Some(grace) = changes.renewal_grace_days {
            account.renewal_grace_days = Set(days("renewalGraceDays", grace)?);
        }
        if let Some(days) = changes.event_days {
            if !(1..=EVENT_MOST).contains(&days) {
                return Err(Refusal::invalid("eventDays", format!("Must be 1 to {EVENT_MOST}.")).into());
            }
            account.event_days = Set(days);
            housekeeping::schedule(tx.db(), &tx.account, tx.now, true).await?;
        }
        if let Some(days) = changes.order_days {
            if !(1..=ORDER_MOST).contains(&days) {
                return Err(Refusal::invalid("orderDays", format!("Must be 1 to {ORDER_MOST}.")).into());
            }
            account.order_days = Set(days);
            housekeeping::schedule(tx.db(), &tx.account, tx.now, true).await?;
        }
        account.updated_at = Set(tx.now);
        let account = account.update(tx.db()).await.map_err(refuse_taken)?;
        Ok(account)
    })
}

/// Every account, for the operator: oldest first.
pub async fn all(caller: &Caller) -> Result<Vec<Model>> {
    caller.authorise_operator()?;
    let txn = caller.app().store().snapshot().await?;
    #[expect(clippy::disallowed_methods, reason = "accounts are what belongs to nobody; only the operator comes here")]
    Ok(Entity::find().order_by_asc(Column::Id).all(&*txn).await?)
}

/// The account of a slug, for the operator.
pub async fn by_slug(caller: &Caller, slug: &str) -> Result<Option<Model>> {
    caller.authorise_operator()?;
    let txn = caller.app().store().snapshot().await?;
    #[expect(clippy::disallowed_methods, reason = "accounts are what belongs to nobody; only the operator comes here")]
    Ok(Entity::find().filter(Column::Slug.eq(slug)).one(&*txn).await?)
}

/// Refuses to start with a ledger key that is not the one that signed this ledger.
pub async fn assert_ledger_key(store: &Store) -> Result<()> {
    let txn = store.snapshot().await?;
    #[expect(clippy::disallowed_methods, reason = "the server asks about itself, before anyone calls")]
    let newest = Entity::find().order_by_desc(Column::Id).one(&*txn).await?;
    match newest {
        Some(account) if account.key_check != store.key.check(account.id) => Err(Error::Unavailable(
            "the ledger key is not the one that signed this database: set SCRIP_LEDGER_KEY to the key it was made with"
                .into(),
        )),
        _ => Ok(()),
    }
}

fn refuse_taken(error: sea_orm::DbErr) -> Error {
    if is_taken(&error, "account", "slug") {
        Refusal::Taken { field: "slug".to_owned(), what: "slug".to_owned() }.into()
    } else {
        error.into()
    }
}
