//! One verb, one file (pure): a command and a settled wallet give an entry or a refusal.

mod consume;
mod issue;

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
    if !around.account.credits_enabled {
        return Err(Refusal::CreditsDisabled);
    }
    match command {
        Command::Issue(command) => issue::decide(wallet, command, around),
        Command::Consume(command) => consume::decide(wallet, command, around.at),
    }
}
