//! One verb, one file (pure): a command and a settled wallet give an entry or a refusal.

mod consume;
mod issue;
mod void;

use entity::{GrantId, account, credit_type};

use super::command::Command;
use super::state::{Entry, Wallet};
use crate::domain::clock::Instant;
use crate::domain::error::Refusal;

/// What a decision may look at beside the wallet.
pub struct Circumstances<'a> {
    pub account: &'a account::Model,
    pub credit_type: &'a credit_type::Model,
    /// The id for the grant that an issue makes.
    pub grant: GrantId,
    pub at: Instant,
}

/// What a command does to a settled wallet.
pub fn decide(wallet: &Wallet, command: &Command, around: &Circumstances<'_>) -> Result<Entry, Refusal> {
    // Disabled refuses what moves credits for the first time; what puts things right goes on.
    let enabled = || if around.account.credits_enabled { Ok(()) } else { Err(Refusal::CreditsDisabled) };
    match command {
        Command::Issue(command) => enabled().and_then(|()| issue::decide(wallet, command, around)),
        Command::Consume(command) => enabled().and_then(|()| consume::decide(wallet, command, around.at)),
        Command::Void(command) => void::decide(wallet, command, around.at),
    }
}
