//! What selling asks of the ledger, and nobody else does.

use crate::{ActivityId, CreditTypeId, Credits, CustomerId, GrantId, Minor, SubscriptionId};
use serde::Serialize;

use super::command::Words;
use super::state::CostMove;

/// What a void does to what comes back to its grant later (selling.md, S9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Closing {
    /// The grant is closed: what comes back is voided too. Refused where nothing is free.
    #[default]
    WithItsCredits,
    /// The grant is closed, where nothing is free as well.
    Always,
    /// The grant stays open: what comes back can be used. Refused where nothing is free.
    Never,
}

impl Closing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// End what is free in earlier grants of a subscription, beyond what may stay. Asked by a renewal, not by people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RollOver {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub grants: Vec<GrantId>,
    /// And what came of them: the grants of earlier periods of this subscription, whose credits roll over up to a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<(SubscriptionId, i64)>,
    /// How many may stay.
    pub keep: Credits,
}

/// Move cost of a grant, while its credits stay where they are: taken off by a refund, lost with a dispute, or put back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reprice {
    pub grant: GrantId,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// The activity that used the credits whose cost it is, if one did.
    pub of: Option<ActivityId>,
    #[serde(skip)]
    pub moves: CostMove,
    /// How many credits it is about. Of used and ended ones these are marked: they are voided when they come back
    /// (selling.md, S4). Of free ones, one is the last, and all are all.
    pub credits: Credits,
    pub cost: Minor,
    /// How many marked credits came back meanwhile and were voided: they are free again, at this cost.
    pub returns: (Credits, Minor),
    pub reason: String,
    #[serde(flatten)]
    pub words: Words,
}

/// Keep what is free of grants from being used, or let it be used again (selling.md, S10).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Freeze {
    pub grants: Vec<GrantId>,
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub thaw: bool,
    pub reason: String,
    #[serde(flatten)]
    pub words: Words,
}
