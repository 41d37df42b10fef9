//! One verb, one file (pure): a command and a settled wallet give entries, or a refusal.

mod consume;
mod extend;
mod hold;
mod issue;
mod reprice;
mod reverse;
mod roll_over;
mod transfer;
mod used;
mod void;

pub use issue::PRIORITY;
pub use used::Used;

use crate::activity::Source;
use crate::{Account, CreditType};
use uuid::Uuid;

use super::command::Command;
use super::state::{Entry, Wallet, WalletKey};
use crate::refusal::Refusal;
use crate::time::Instant;

/// What a decision may look at beside the wallet.
pub struct Circumstances<'a> {
    pub account: &'a Account,
    pub credit_type: &'a CreditType,
    /// Whether the customer who gets new grants is archived.
    pub archived: bool,
    /// The wallet that gets new grants from another one, settled.
    pub receiver: Option<&'a Wallet>,
    /// For a reverse: what it is to undo, as far as it was not undone yet.
    pub used: Option<&'a Used>,
    /// What led to the command.
    pub source: Source,
    /// Where ids come from.
    pub fresh: &'a dyn Fn() -> Uuid,
    pub at: Instant,
}

/// An entry and the wallet that it is written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Posting {
    pub wallet: WalletKey,
    pub entry: Entry,
}

/// What a command does to a settled wallet, and to the one that it gives to.
pub fn decide(wallet: &Wallet, command: &Command, around: &Circumstances<'_>) -> Result<Vec<Posting>, Refusal> {
    // Disabled refuses what moves credits for the first time; what was agreed before, and what puts things right, goes on.
    let enabled = || {
        if around.account.credits_enabled || around.source.is_agreed() { Ok(()) } else { Err(Refusal::CreditsDisabled) }
    };
    let entries = match command {
        Command::Issue(command) => enabled().and_then(|()| issue::decide(wallet, command, around)),
        Command::Consume(command) => enabled().and_then(|()| consume::decide(wallet, command, around.at)),
        Command::Place(command) => enabled().and_then(|()| hold::place(wallet, command, around)),
        Command::Transfer(command) => {
            return enabled().and_then(|()| transfer::decide(wallet, command, around));
        }
        Command::Capture(command) => hold::capture(wallet, command, around.at),
        Command::Release(command) => hold::release(wallet, command, around.at),
        Command::Reverse(command) => reverse::decide(wallet, command, around),
        Command::Void(command) => void::decide(wallet, command, around.at),
        Command::Extend(command) => extend::decide(wallet, command, around.at),
        Command::RollOver(command) => Ok(roll_over::decide(wallet, command, around.at)),
        Command::Reprice(command) => reprice::decide(wallet, command, around.at),
        Command::Freeze(command) => Ok(reprice::freeze(wallet, command, around.at)),
        Command::Settle(_) => Ok(Vec::new()),
    }?;
    let key = wallet.key();
    Ok(entries.into_iter().map(|entry| Posting { wallet: key, entry }).collect())
}
