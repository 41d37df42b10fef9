//! Why a consume would be refused (pure): every reason at once, for whoever has to explain it.

use crate::Credits;

use super::state::{Held, Wallet};
use crate::time::Instant;

/// Why credits cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The account has its credits switched off.
    CreditsDisabled,
    /// The customer never had any of this type.
    NoneIssued,
    /// Some can be used, but fewer than were asked for.
    NotEnough,
    /// Some are set aside.
    Held,
    /// Some count only later.
    NotYetEffective,
    /// Some cannot be used while their payment is disputed.
    PaymentDisputed,
    /// Some ended unused.
    Expired,
    /// Some were taken away.
    Voided,
    /// Some went to other customers, or to new grants.
    Transferred,
    /// Some were used.
    Used,
}

/// One reason, and how many credits it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: Reason,
    pub amount: Credits,
    /// When it changes by itself: when the first hold lapses, when the first credits begin to count.
    pub until: Option<Instant>,
}

/// Whether credits can be used, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub wanted: Credits,
    pub available: Credits,
    /// None if they can be used.
    pub reasons: Vec<Why>,
}

/// Whether `wanted` credits of a wallet can be used at an instant; `None` is the wallet of who never had any, or of who
/// is shown none (`hidden`), because the account's credits are switched off.
#[must_use]
pub fn status(enabled: bool, wallet: Option<Wallet>, hidden: bool, wanted: Credits, now: Instant) -> Status {
    let mut reasons = Vec::new();
    if !enabled {
        reasons.push(Why { reason: Reason::CreditsDisabled, amount: Credits::ZERO, until: None });
    }
    if hidden {
        return Status { wanted, available: Credits::ZERO, reasons };
    }
    let Some(mut wallet) = wallet.filter(|wallet| wallet.row.sequence > 0) else {
        reasons.push(Why { reason: Reason::NoneIssued, amount: Credits::ZERO, until: None });
        return Status { wanted, available: Credits::ZERO, reasons };
    };
    let at = wallet.instant(now);
    wallet.settle(at);
    let available = wallet.available(at);
    if available < wanted {
        let row = &wallet.row;
        // A lapse helps only where what it gives back can still be used then.
        let helps = |held: &&Held| {
            let lapse = held.row.expires_at;
            held.row.open && held.draws.iter().any(|draw| wallet.goes_on(draw.grant, lapse).is_none())
        };
        let lapse = wallet.holds.iter().filter(helps).map(|held| held.row.expires_at).min();
        let later = wallet.grants.iter().filter(|grant| grant.open && grant.effective_at > at && !grant.frozen);
        let begins = later.map(|grant| grant.effective_at).min();
        let figures = [
            (Reason::NotEnough, available, None),
            (Reason::Held, row.held, lapse),
            (Reason::NotYetEffective, wallet.not_yet_effective(at), begins),
            (Reason::PaymentDisputed, wallet.frozen(), None),
            (Reason::Expired, row.expired, None),
            (Reason::Voided, row.voided, None),
            (Reason::Transferred, row.transferred, None),
            (Reason::Used, row.consumed, None),
        ];
        let some = figures.into_iter().filter(|(_, amount, _)| !amount.is_zero());
        reasons.extend(some.map(|(reason, amount, until)| Why { reason, amount, until }));
    }
    Status { wanted, available, reasons }
}

impl Why {
    /// The reason in words for staff, and what can be done.
    #[must_use]
    pub fn message(&self) -> String {
        let until = self.until.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        let amount = self.amount;
        let (are, were) = if amount == Credits(1) { ("is", "was") } else { ("are", "were") };
        match (self.reason, until) {
            (Reason::CreditsDisabled, _) => {
                "Credits are switched off for this account: the owner can switch them on.".to_owned()
            }
            (Reason::NoneIssued, _) => {
                "This customer never had credits of this type: issue some, or sell some.".to_owned()
            }
            (Reason::NotEnough, _) => format!("Only {amount} can be used now: ask for fewer, or issue or sell more."),
            (Reason::Held, Some(at)) => format!(
                "{amount} {are} set aside: capture or release a hold. The first that gives back what can be used lapses at {at}."
            ),
            (Reason::Held, None) => {
                format!("{amount} {are} set aside, and will have ended when the holds lapse: capture or release them.")
            }
            (Reason::NotYetEffective, Some(at)) => format!("{amount} will count only later, the first from {at} on."),
            (Reason::NotYetEffective, None) => format!("{amount} will count only later."),
            (Reason::PaymentDisputed, _) => {
                format!("{amount} cannot be used while their payment is disputed: disputeRecord says how it ended.")
            }
            (Reason::Expired, _) => format!("{amount} ended unused: grantExtend can bring them back."),
            (Reason::Voided, _) => format!("{amount} {were} taken away: issue new ones if that was wrong."),
            (Reason::Transferred, _) => format!("{amount} went to another customer, or to a new grant."),
            (Reason::Used, _) => format!("{amount} {were} used: activityReverse gives back what was not delivered."),
        }
    }
}
