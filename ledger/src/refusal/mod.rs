//! What a business rule says no with.
//!
//! A new [`Refusal`] does not compile until it has a code, a message and a field.

pub mod code;
pub mod flow;
pub mod sale;

use crate::Credits;
use serde::{Deserialize, Serialize};

use self::code::Code;
use self::flow::Flow;
use self::sale::Sale;
use crate::time::Instant;

/// A business rule that said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// One field of the input is outside its limits.
    Invalid { field: String, message: String },
    /// An id in the input leads nowhere that this caller can see.
    NotFound { field: String, what: String },
    /// Another row of the account has this value already.
    Taken { field: String, what: String },
    /// The usable credits do not cover what was asked. Nothing was taken.
    InsufficientCredits {
        /// Which field asked for them; `amount`, where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        requested: Credits,
        available: Credits,
        held: Credits,
        expired: Credits,
        not_yet_effective: Credits,
        /// Cannot be used while its payment is disputed.
        #[serde(default)]
        frozen: Credits,
    },
    /// The account has its credits switched off.
    CreditsDisabled,
    /// The credit type issues no more credits.
    CreditTypeArchived,
    /// The credits would have ended before they began, or before now.
    ExpirationNotInFuture,
    /// The key was used for something else.
    IdempotencyKeyReused,
    /// The grant has no free credits left.
    NothingToVoid,
    /// The hold was captured, released, or has lapsed: it holds nothing any more.
    HoldClosed { became: String, at: Instant },
    /// The hold would end before it begins.
    HoldEndsBeforeItBegins,
    /// The hold would last longer than the account allows.
    HoldTooLong { days: i32 },
    /// So many holds of one customer's credits of one type are open already.
    TooManyHolds { most: usize },
    /// Less is left of a hold, or of what an activity used, than was asked for.
    MoreThanLeft { requested: Credits, left: Credits },
    /// The activity used nothing: only a consume or a capture can be undone.
    NotReversible,
    /// All that the activity used was given back before.
    ReversedBefore,
    /// Who gives and who gets are the same.
    TransferToSelf,
    /// The customer is archived and gets no more credits.
    CustomerArchived { field: String },
    /// The grant has no end that could be moved.
    NoEndToExtend,
    /// Nothing is left in the grant that could be used for longer.
    NothingToExtend,
    /// The new end is not later than the one there is.
    ExtensionNotLater { end: Instant },
    /// The new end has passed already.
    ExtensionNotInFuture,
    /// Only a sandbox has a test clock.
    NotASandbox,
    /// The test clock shows a later instant already.
    ClockBackwards { clock: Instant },
    /// Somebody is moving the test clock.
    ClockMoving,
    /// The job was not laid aside.
    JobNotDead,
    /// One part of long work failed, by a fault on our side.
    Fault,
    /// A rule of selling said no.
    Sale(Sale),
    /// A rule of triggers, automations or webhooks said no.
    Flow(Flow),
}

impl Refusal {
    /// The limit that a field is outside of.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }

    /// The refusal for an id that leads nowhere.
    #[must_use]
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::NotFound { field: field.to_owned(), what: what.to_owned() }
    }

    /// The same, where the credits were asked for in another field than the ledger's own.
    #[must_use]
    pub fn asked_in(mut self, name: String) -> Self {
        if let Self::InsufficientCredits { field, .. } = &mut self {
            *field = Some(name);
        }
        self
    }

    /// The same, where the field is part of a larger input.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        let (field, message) = (self.field(), self.message());
        match self {
            Self::Invalid { field, message } => Self::Invalid { field: format!("{path}.{field}"), message },
            other => match field {
                Some(field) => Self::Invalid { field: format!("{path}.{}", field.join(".")), message },
                None => other,
            },
        }
    }

    /// What a client branches on.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::Invalid,
            Self::NotFound { .. } => Code::NotFound,
            Self::Taken { .. } => Code::Taken,
            Self::InsufficientCredits { .. } => Code::InsufficientCredits,
            Self::CreditsDisabled => Code::CreditsDisabled,
            Self::CreditTypeArchived => Code::CreditTypeArchived,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::NothingToVoid => Code::NothingToVoid,
            Self::HoldClosed { .. } => Code::HoldClosed,
            Self::HoldTooLong { .. } => Code::HoldTooLong,
            Self::TooManyHolds { .. } => Code::TooManyHolds,
            Self::ExpirationNotInFuture | Self::HoldEndsBeforeItBegins | Self::ExtensionNotInFuture => {
                Code::ExpirationNotInFuture
            }
            Self::MoreThanLeft { .. } => Code::MoreThanLeft,
            Self::NotReversible => Code::NotReversible,
            Self::ReversedBefore => Code::AlreadyReversed,
            Self::TransferToSelf => Code::TransferToSelf,
            Self::CustomerArchived { .. } => Code::CustomerArchived,
            Self::NoEndToExtend => Code::NoEndToExtend,
            Self::NothingToExtend => Code::NothingToExtend,
            Self::ExtensionNotLater { .. } => Code::ExtensionNotLater,
            Self::NotASandbox => Code::NotASandbox,
            Self::ClockBackwards { .. } => Code::ClockBackwards,
            Self::ClockMoving => Code::ClockMoving,
            Self::JobNotDead => Code::JobNotDead,
            Self::Fault => Code::Fault,
            Self::Sale(sale) => sale.code(),
            Self::Flow(flow) => flow.code(),
        }
    }

    /// What happened and what to do next, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Invalid { message, .. } => message.clone(),
            Self::NotFound { what, .. } => format!("There is no such {what}. Check what was given."),
            Self::Taken { what, .. } => format!("Another one has this {what} already. Use a different one."),
            Self::InsufficientCredits { requested, available, held, expired, not_yet_effective, frozen, .. } => {
                let disputed = (frozen, "frozen by a dispute");
                let why = [(held, "held"), (expired, "expired"), (not_yet_effective, "not yet effective"), disputed]
                    .into_iter()
                    .filter(|(amount, _)| !amount.is_zero())
                    .map(|(amount, why)| format!("{amount} {why}"))
                    .collect::<Vec<_>>();
                let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
                format!("{requested} requested, {available} available{why}. Nothing was used.")
            }
            Self::CreditsDisabled => {
                "Credits are switched off for this account. Its owner can switch them on with accountUpdate.".to_owned()
            }
            Self::CreditTypeArchived => {
                "This credit type is archived: what exists can be used, but no more is issued. Choose another type."
                    .to_owned()
            }
            Self::ExpirationNotInFuture => {
                "These credits would end before they could be used. Choose a later expiration.".to_owned()
            }
            Self::NothingToVoid => {
                "Nothing is free in this grant: it was used, set aside, transferred or voided, or it has ended. Nothing was changed."
                    .to_owned()
            }
            Self::HoldClosed { became, at } => {
                format!("This hold was closed at {}: it {}. Nothing was changed.", written(*at), match became.as_str() {
                    "lapsed" => "lapsed, and its credits went back".to_owned(),
                    became => format!("was {became}"),
                })
            }
            Self::HoldEndsBeforeItBegins => "A hold must end in the future. Choose a later expiresAt.".to_owned(),
            Self::HoldTooLong { days } => {
                format!("A hold lasts {days} days at most. Choose an earlier expiresAt, or let the owner raise holdLimitDays.")
            }
            Self::TooManyHolds { most } => {
                format!("{most} holds of this customer's credits of this type are open. Capture or release some first.")
            }
            Self::MoreThanLeft { requested, left } => {
                format!("{requested} requested, {left} left of it. Nothing was changed.")
            }
            Self::NotReversible => {
                "Only what used credits or took them away can be undone: a CONSUME, a CAPTURE or a VOID by hand. Nothing was changed.".to_owned()
            }
            Self::ReversedBefore => "All of it was given back before. Nothing was changed.".to_owned(),
            Self::TransferToSelf => "Who gives and who gets are the same customer. Choose another one.".to_owned(),
            Self::CustomerArchived { .. } => {
                "This customer is archived and gets no more credits. Bring the customer back with customerUnarchive first; one that was erased stays so: create a new one."
                    .to_owned()
            }
            Self::NoEndToExtend => {
                "This grant has no end to move: it never ends, or not before its first use.".to_owned()
            }
            Self::NothingToExtend => {
                "Nothing is left in this grant that could be used for longer. Issue new credits instead.".to_owned()
            }
            Self::ExtensionNotLater { end } => {
                format!("This grant ends at {} anyway. Choose a later end.", written(*end))
            }
            Self::ExtensionNotInFuture => "The new end has passed already. Choose a later one.".to_owned(),
            Self::NotASandbox => {
                "Only a sandbox has a test clock. Create one with accountCreate(mode: SANDBOX).".to_owned()
            }
            Self::ClockBackwards { clock } => {
                format!("The clock shows {} already, and does not go back.", written(*clock))
            }
            Self::ClockMoving => "The clock is being moved. Wait until that is done, then try again.".to_owned(),
            Self::JobNotDead => "This job was not laid aside: it is tried by itself.".to_owned(),
            Self::Sale(sale) => sale.message(),
            Self::Flow(flow) => flow.message(),
            Self::Fault => "This one failed by a fault on our side; the server's log says which. Nothing was changed.".to_owned(),
            Self::IdempotencyKeyReused => {
                "This idempotency key was used for a different request. Use a new key for a new request.".to_owned()
            }
        }
    }

    /// The path to the input's field that is to blame, if one is.
    #[must_use]
    pub fn field(&self) -> Option<Vec<String>> {
        let path = |path: &str| Some(path.split('.').map(str::to_owned).collect());
        match self {
            Self::Invalid { field, .. }
            | Self::NotFound { field, .. }
            | Self::Taken { field, .. }
            | Self::CustomerArchived { field } => path(field),
            Self::InsufficientCredits { field, .. } => path(field.as_deref().unwrap_or("amount")),
            Self::MoreThanLeft { .. } => path("amount"),
            Self::CreditTypeArchived => path("creditTypeId"),
            Self::ExpirationNotInFuture => path("expiration"),
            Self::IdempotencyKeyReused => path("idempotencyKey"),
            Self::NothingToVoid | Self::NoEndToExtend | Self::NothingToExtend => path("grantId"),
            Self::HoldClosed { .. } => path("holdId"),
            Self::HoldTooLong { .. } | Self::HoldEndsBeforeItBegins => path("expiresAt"),
            Self::NotReversible | Self::ReversedBefore => path("activityId"),
            Self::TransferToSelf => path("toCustomerId"),
            Self::ExtensionNotLater { .. } | Self::ExtensionNotInFuture | Self::ClockBackwards { .. } => path("to"),
            Self::JobNotDead => path("id"),
            Self::Sale(sale) => sale.field().and_then(path),
            Self::Flow(flow) => flow.field().and_then(path),
            Self::CreditsDisabled | Self::TooManyHolds { .. } | Self::NotASandbox | Self::ClockMoving | Self::Fault => {
                None
            }
        }
    }

    /// Whether a key remembers it: it depends on what was stored at the time,
    /// so a duplicate that arrives late must not succeed after all.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        match self {
            Self::InsufficientCredits { .. }
            | Self::CreditsDisabled
            | Self::CreditTypeArchived
            | Self::ExpirationNotInFuture
            | Self::NothingToVoid
            | Self::HoldClosed { .. }
            | Self::HoldEndsBeforeItBegins
            | Self::HoldTooLong { .. }
            | Self::TooManyHolds { .. }
            | Self::MoreThanLeft { .. }
            | Self::NotReversible
            | Self::ReversedBefore
            | Self::CustomerArchived { .. }
            | Self::NoEndToExtend
            | Self::NothingToExtend
            | Self::ExtensionNotLater { .. }
            | Self::ExtensionNotInFuture
            | Self::Flow(_) => true,
            Self::Sale(sale) => sale.is_recorded(),
            Self::Invalid { .. }
            | Self::NotFound { .. }
            | Self::Taken { .. }
            | Self::IdempotencyKeyReused
            | Self::TransferToSelf
            | Self::NotASandbox
            | Self::ClockBackwards { .. }
            | Self::ClockMoving
            | Self::JobNotDead
            | Self::Fault => false,
        }
    }
}

impl From<Flow> for Refusal {
    fn from(flow: Flow) -> Self {
        Self::Flow(flow)
    }
}

impl From<Sale> for Refusal {
    fn from(sale: Sale) -> Self {
        Self::Sale(sale)
    }
}

fn written(at: Instant) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
