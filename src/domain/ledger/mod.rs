//! The ledger: every operation and its sentence.
//!
//! * [`issue`]: make a new grant.
//! * [`consume`]: use credits, in burn order, all or nothing.
//! * [`submit`]: any of them, as a command.
//! * [`grants::to_void`]: the command that takes away what is left of one grant, with a reason.
//! * [`preview`]: what a command would do, with nothing written.
//! * [`balances`], [`activity`], [`grants`]: what there is, what happened, and in which lots.
//! * [`verify`]: recompute everything from the activities and name what differs.
//!
//! Lock order: wallets by key, then any other row, then `request` rows last. Grants are read in the statement after
//! the one that locks their wallets: under READ COMMITTED only that statement sees what the last holder wrote.
//!
//! Pure: [`state`], [`draw`], [`expiration`], [`decide`], [`chain`]. Only [`post`] changes a balance.

pub mod activity;
pub mod balances;
pub(super) mod chain;
pub mod command;
pub(super) mod commit;
mod decide;
mod draw;
pub mod expiration;
pub mod grants;
mod load;
mod post;
#[cfg(test)]
mod properties;
mod requests;
pub mod state;
pub mod verify;

pub use chain::LedgerKey;
pub use command::{Command, Consume, Cost, Issue, Outcome, Preview, Void, Words};

use super::caller::{Caller, Scope};
use super::error::Result;
use super::input;

/// Makes a new grant, once per key.
pub async fn issue(caller: &Caller, issue: Issue, key: &str) -> Result<Outcome> {
    submit(caller, Command::Issue(issue), key).await
}

/// Uses credits, once per key: all of the amount, or none.
pub async fn consume(caller: &Caller, consume: Consume, key: &str) -> Result<Outcome> {
    submit(caller, Command::Consume(consume), key).await
}

/// What a command would do now. Takes no lock, knows no key, writes nothing.
pub async fn preview(caller: &Caller, command: Command) -> Result<Preview> {
    let command = command.check()?;
    let view = caller.view(Scope::CreditsWrite).await?;
    post::preview(&view, &command).await
}

/// Carries out a command, once per key.
pub async fn submit(caller: &Caller, command: Command, key: &str) -> Result<Outcome> {
    let account = caller.authorise(Scope::CreditsWrite)?;
    let key = input::key("idempotencyKey", key)?;
    let command = command.check()?;
    let job = post::Job {
        account,
        key: (caller.key_space(), key),
        fingerprint: command.fingerprint(),
        actor: caller.actor(),
        command,
    };
    caller.app().lanes().submit(job).await
}
