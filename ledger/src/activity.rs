//! What happened to a wallet: one immutable record.

use crate::time::Instant;
use crate::words::words;
use crate::{AccountId, ActivityId, CreditTypeId, Credits, CustomerId, HoldId};

words! {
    /// What happened.
    Kind {
        Issue = "issue",
        Consume = "consume",
        Hold = "hold",
        Capture = "capture",
        Release = "release",
        Lapse = "lapse",
        Reverse = "reverse",
        Expire = "expire",
        Void = "void",
        Reinstate = "reinstate",
        Extend = "extend",
        Revive = "revive",
        TransferOut = "transfer_out",
        TransferIn = "transfer_in",
        /// Cost was taken off credits that stay where they are, or put back.
        Reprice = "reprice",
        Freeze = "freeze",
        Thaw = "thaw",
    }

    /// Who did it.
    ActorKind {
        Staff = "staff",
        /// A program of the business, by its API key.
        ApiKey = "api_key",
        Customer = "customer",
        /// Time: what expires does so by itself.
        System = "system",
        /// What the business had decided for such an event.
        Trigger = "trigger",
        /// A step that the business had decided on.
        Automation = "automation",
    }

    /// What led to it.
    Source {
        /// A person decided it.
        Manual = "manual",
        /// The clock.
        Clock = "clock",
        /// Opening balances that were read from a file.
        Import = "import",
        /// Another grant, of this or another customer.
        Transfer = "transfer",
        /// A return to a grant that had ended.
        Reissue = "reissue",
        /// A purchase, or its refund.
        Order = "order",
        /// A period of a subscription.
        Renewal = "renewal",
        /// An event that a trigger waited for.
        Trigger = "trigger",
        /// A step of an automation.
        Automation = "automation",
    }
}

impl Source {
    /// Whether it was agreed before: an order that was placed is kept, whatever has been switched off or archived since.
    #[must_use]
    pub fn is_agreed(self) -> bool {
        matches!(self, Self::Order | Self::Renewal)
    }
}

/// One record of a wallet.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub account_id: AccountId,
    pub id: ActivityId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    /// 1, 2, 3 … within the wallet, without gap.
    pub sequence: i64,
    pub kind: Kind,
    /// Signed change of the free credits.
    pub amount: Credits,
    /// Signed change of the held credits.
    pub held_amount: Credits,
    pub balance_before: Credits,
    pub balance_after: Credits,
    pub actor_kind: ActorKind,
    /// The token's subject; empty for the system.
    pub actor: String,
    pub source: Source,
    /// The business's own key for what this belongs to, such as a booking.
    pub reference: Option<String>,
    /// Why credits were taken away. The customer sees it.
    pub reason: Option<String>,
    /// What the customer sees.
    pub note: Option<String>,
    /// What only staff sees.
    pub internal_note: Option<String>,
    /// 16 random bytes that keep the digest from being guessed; blanked with the notes.
    pub note_salt: Option<Vec<u8>>,
    /// SHA-256 over salt and notes: what the chain signs, so that it still verifies once the notes are erased.
    pub note_digest: Option<Vec<u8>>,
    /// The hold that it opened or closed.
    pub hold_id: Option<HoldId>,
    /// The activity that it undid, or a part of it; of a reprice, the one that used the credits.
    pub reverses_id: Option<ActivityId>,
    pub at: Instant,
    /// HMAC-SHA256 over the one before it in its wallet and everything above.
    pub hash: Vec<u8>,
}
