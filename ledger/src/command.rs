//! What can be asked of the ledger, and what it answers.

use crate::{
    ActivityId, CreditTypeId, Credits, CustomerId, Expiration, GrantId, HoldId, Minor, PeriodUnit, SubscriptionId,
};
use serde::{Deserialize, Serialize};

use super::decide::PRIORITY;
pub use super::selling::{Closing, Freeze, Reprice, RollOver};
use super::state::WalletKey;
use crate::fault::{self, Fault};
use crate::input;
use crate::refusal::Refusal;
use crate::time::Instant;

/// Make a new grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    /// From when it counts; from the moment of issue if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Instant>,
    /// When it ends; as its credit type says if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// Lower is used first; 50 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// What was paid for it; a gift if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// Of a subscription with a rollover cap: which, which period, and how many may stay by their own terms, if limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<(SubscriptionId, i64, Option<Credits>)>,
    /// How many of earlier periods may stay, where that is limited from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<Credits>,
    #[serde(flatten)]
    pub words: Words,
}

impl Issue {
    /// Credits with nothing said beside.
    #[must_use]
    pub fn of(customer: CustomerId, credit_type: CreditTypeId, amount: Credits) -> Self {
        let (effective_at, expiration, priority, cost) = (None, None, None, None);
        let (metadata, period, cap, words) = (None, None, None, Words::default());
        Self { customer, credit_type, amount, effective_at, expiration, priority, cost, metadata, period, cap, words }
    }
}

/// Money paid for credits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub minor: Minor,
    pub currency: String,
}

/// Use credits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Consume {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    #[serde(flatten)]
    pub words: Words,
}

/// Take away what is left of one grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Void {
    pub grant: GrantId,
    /// Whose it is: its wallet, which never changes.
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// Why. The customer sees it.
    pub reason: String,
    #[serde(skip_serializing_if = "Closing::is_default")]
    pub closing: Closing,
    /// Of a refund: not all of it, but so many of those that would be used last, at what they cost, which goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(Credits, Minor)>,
    #[serde(flatten)]
    pub words: Words,
}

/// Set credits aside until they are captured or released, or until they lapse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    /// The first instant at which they are no longer set aside.
    pub expires_at: Instant,
    #[serde(flatten)]
    pub words: Words,
}

/// Use what is set aside: all of it, or a part, and then the rest goes back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capture {
    pub hold: HoldId,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// All of it, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Credits>,
    #[serde(flatten)]
    pub words: Words,
}

/// Give back what is set aside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Release {
    pub hold: HoldId,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    #[serde(flatten)]
    pub words: Words,
}

/// Give back what a consume or a capture used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reverse {
    pub activity: ActivityId,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// All that was not given back yet, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Credits>,
    /// What becomes of credits whose grant has ended meanwhile.
    pub on_expired: OnExpired,
    /// Why. The customer sees it.
    pub reason: String,
    #[serde(flatten)]
    pub words: Words,
}

/// What becomes of credits that come back to a grant that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpired {
    /// They end at once.
    Forfeit,
    /// They go to a new grant that can be used through this many days more.
    Reissue { grace_days: i32 },
}

/// Give one grant a later end; what had ended already comes back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extend {
    pub grant: GrantId,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub to: Extension,
    /// Whether what has ended already comes back as well.
    pub revive: bool,
    /// Why. The customer sees it.
    pub reason: String,
    #[serde(flatten)]
    pub words: Words,
}

/// A later end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extension {
    /// So much later than it was, by the calendar.
    By { count: i32, unit: PeriodUnit },
    /// At the end of a local date.
    On(chrono::NaiveDate),
    /// At an exact instant.
    At(Instant),
}

/// Give credits to another customer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    pub from: CustomerId,
    pub to: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    #[serde(flatten)]
    pub words: Words,
}

/// Write down what time has done in a wallet. Asked by the worker, not by people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settle {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
}

/// What people say about an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// What the customer sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What only staff sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_note: Option<String>,
    /// The business's own key for what this belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// One thing to do to the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Issue(Issue),
    Consume(Consume),
    Void(Void),
    Place(Place),
    Capture(Capture),
    Release(Release),
    Reverse(Reverse),
    Extend(Extend),
    Transfer(Transfer),
    RollOver(RollOver),
    Reprice(Reprice),
    Freeze(Freeze),
    Settle(Settle),
}

/// The most days of grace that a reissue gives.
const GRACE: i32 = 366;

impl Command {
    /// Refuses what is outside the limits, before anything is locked.
    pub fn check(mut self) -> Result<Self, Refusal> {
        match &mut self {
            Self::Issue(issue) => {
                issue.amount = input::amount("amount", issue.amount)?;
                issue.effective_at = issue.effective_at.map(|at| input::instant("effectiveAt", at)).transpose()?;
                issue.expiration =
                    issue.expiration.map(|policy| super::expiration::check("expiration", policy)).transpose()?;
                if issue.priority.is_some_and(|priority| !(0..=100).contains(&priority)) {
                    return Err(Refusal::invalid("priority", "Must be 0 to 100. Lower is used first."));
                }
                // Given or left out, a default is one request.
                issue.priority = issue.priority.filter(|priority| *priority != PRIORITY || fault::is(Fault::Defaults));
                if let Some(cost) = &mut issue.cost {
                    cost.minor = input::cost("cost.minor", cost.minor)?;
                    cost.currency = input::currency("cost.currency", &cost.currency)?;
                }
                let metadata = issue.metadata.take().map(|json| input::metadata("metadata", json)).transpose()?;
                issue.metadata = metadata.filter(|json| *json != serde_json::json!({}));
            }
            Self::Consume(consume) => consume.amount = input::amount("amount", consume.amount)?,
            Self::Void(void) => void.reason = input::text("reason", &void.reason, input::NAME)?,
            Self::Place(place) => {
                place.amount = input::amount("amount", place.amount)?;
                place.expires_at = input::instant("expiresAt", place.expires_at)?;
            }
            Self::Capture(capture) => {
                capture.amount = capture.amount.map(|amount| input::amount("amount", amount)).transpose()?;
            }
            Self::Reverse(reverse) => {
                reverse.amount = reverse.amount.map(|amount| input::amount("amount", amount)).transpose()?;
                reverse.reason = input::text("reason", &reverse.reason, input::NAME)?;
                if let OnExpired::Reissue { grace_days } = reverse.on_expired
                    && !(1..=GRACE).contains(&grace_days)
                {
                    return Err(Refusal::invalid(
                        "graceDays",
                        format!("Must be 1 to {GRACE}, with onExpired REISSUE."),
                    ));
                }
            }
            Self::Extend(extend) => {
                extend.reason = input::text("reason", &extend.reason, input::NAME)?;
                extend.to = super::expiration::check_extension("to", extend.to)?;
            }
            Self::Transfer(transfer) => {
                transfer.amount = input::amount("amount", transfer.amount)?;
                if transfer.from == transfer.to {
                    return Err(Refusal::TransferToSelf);
                }
            }
            Self::Release(_) | Self::RollOver(_) | Self::Reprice(_) | Self::Freeze(_) | Self::Settle(_) => {}
        }
        if let Some(words) = self.words_mut() {
            words.note = input::optional_text("note", words.note.as_deref(), input::NOTE)?;
            words.internal_note = input::optional_text("internalNote", words.internal_note.as_deref(), input::NOTE)?;
            words.reference = input::optional_text("reference", words.reference.as_deref(), input::NAME)?;
        }
        Ok(self)
    }

    /// Whose credits it may move.
    pub fn customers(&self) -> impl Iterator<Item = CustomerId> + use<> {
        std::iter::once(self.wallet().0).chain(self.receives().map(|(customer, _)| customer))
    }

    /// The wallet that decides it: of a transfer, the one that gives.
    #[must_use]
    pub fn wallet(&self) -> WalletKey {
        match self {
            Self::Issue(command) => (command.customer, command.credit_type),
            Self::Consume(command) => (command.customer, command.credit_type),
            Self::Void(command) => (command.customer, command.credit_type),
            Self::Place(command) => (command.customer, command.credit_type),
            Self::Capture(command) => (command.customer, command.credit_type),
            Self::Release(command) => (command.customer, command.credit_type),
            Self::Reverse(command) => (command.customer, command.credit_type),
            Self::Extend(command) => (command.customer, command.credit_type),
            Self::Transfer(command) => (command.from, command.credit_type),
            Self::RollOver(command) => (command.customer, command.credit_type),
            Self::Reprice(command) => (command.customer, command.credit_type),
            Self::Freeze(command) => (command.customer, command.credit_type),
            Self::Settle(command) => (command.customer, command.credit_type),
        }
    }

    /// The wallet that gets new grants, which is made where it is not there.
    #[must_use]
    pub fn receives(&self) -> Option<WalletKey> {
        match self {
            Self::Issue(command) => Some((command.customer, command.credit_type)),
            Self::Transfer(command) => Some((command.to, command.credit_type)),
            _ => None,
        }
    }

    fn words_mut(&mut self) -> Option<&mut Words> {
        Some(match self {
            Self::Issue(command) => &mut command.words,
            Self::Consume(command) => &mut command.words,
            Self::Void(command) => &mut command.words,
            Self::Place(command) => &mut command.words,
            Self::Capture(command) => &mut command.words,
            Self::Release(command) => &mut command.words,
            Self::Reverse(command) => &mut command.words,
            Self::Extend(command) => &mut command.words,
            Self::Transfer(command) => &mut command.words,
            Self::Reprice(command) => &mut command.words,
            Self::Freeze(command) => &mut command.words,
            Self::RollOver(_) | Self::Settle(_) => return None,
        })
    }

    /// What was said about it.
    #[must_use]
    pub fn words(&self) -> Words {
        self.clone().words_mut().cloned().unwrap_or_default()
    }

    /// Why it takes credits away or gives them back, where it has to say so.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Void(command) => Some(&command.reason),
            Self::Reverse(command) => Some(&command.reason),
            Self::Extend(command) => Some(&command.reason),
            Self::Reprice(command) => Some(&command.reason),
            Self::Freeze(command) => Some(&command.reason),
            _ => None,
        }
    }
}

/// What a command would do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// Which grants would be used, in burn order, and how much of each. Empty for an issue.
    pub draws: Vec<(GrantId, Credits)>,
    /// The free credits afterwards, those not yet effective included.
    pub balance_after: Credits,
    /// What would be left in the grants that it touches, by when it ends.
    pub would_expire: Vec<(Instant, Credits)>,
    /// What the credits that it moves had cost, by currency.
    pub cost: Vec<(String, Minor)>,
    /// How many of those that come back would end, or be voided, in the same instant.
    pub lost: Credits,
}
