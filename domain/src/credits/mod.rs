//! What callers ask of the ledger: every operation once per key, what it would do, and what proves that it is right.
//!
//! * [`submit`]: any command; [`preview`]: what it would do, with nothing written.
//! * [`about`]: the command for something that is named by its id.
//! * [`changes`]: what is new, for who watches.
//! * [`opening`]: balances that are read from a file, rehearsed before anything is written.
//! * [`verify`], [`anchor`]: recompute everything from the activities and name what differs; find a cut tail.

pub mod about;
pub mod anchor;
pub mod changes;
pub mod opening;
pub mod verify;

use entity::activity::Source;

use crate::ground::error::Result;
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::{Command, Consume, Issue, Outcome, Preview, post};

/// Whose keys the keys of rows in a file are.
const IMPORT: &str = "import";

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
    crate::ledger::preview::preview(&view, Source::Manual, &command).await
}

/// Carries out a command, once per key.
pub async fn submit(caller: &Caller, command: Command, key: &str) -> Result<Outcome> {
    carry_out(caller, command, (caller.key_space(), key), Source::Manual).await
}

/// Carries out a command that was read from a file, once per key of its row.
pub async fn import(caller: &Caller, command: Command, key: &str) -> Result<Outcome> {
    carry_out(caller, command, (IMPORT.to_owned(), key), Source::Import).await
}

async fn carry_out(caller: &Caller, command: Command, key: (String, &str), source: Source) -> Result<Outcome> {
    let account = caller.authorise(Scope::CreditsWrite)?;
    let key = (key.0, input::key("idempotencyKey", key.1)?);
    let job = post::Job::once(account, key, caller.actor(), source, command.check()?);
    caller.app().lanes().submit(job).await
}
