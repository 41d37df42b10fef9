//! The ledger: every command and its sentence.
//!
//! * [`Command::Issue`]: make a new grant.
//! * [`Command::Consume`]: use credits, in burn order, all or nothing.
//! * [`Command::Place`], [`Command::Capture`], [`Command::Release`]: set credits aside; use them, or give them back.
//! * [`Command::Reverse`]: give back what a consume or a capture used, all or part, up to the whole.
//! * [`Command::Void`]: take away what is left of one grant, with a reason.
//! * [`Command::Extend`]: give one grant a later end; what had ended comes back.
//! * [`Command::Transfer`]: give credits to another customer, who gets them as they were.
//! * [`Command::RollOver`]: end what a subscription's earlier grants have left beyond what may stay.
//! * [`Command::Reprice`]: move cost while the credits stay: what a refund took off, what a dispute lost.
//! * [`Command::Freeze`]: keep what is free of grants from being used while its money is disputed.
//! * [`Command::Settle`]: write down what time has done. The worker asks for it.
//! * [`within`]: any of them, in a transaction that does more; [`preview`]: what one would do, with nothing written. Callers
//!   ask for them by `credits`.
//! * [`balances`], [`activity`], [`grants`], [`holds`]: what there is, what happened, in which lots, set aside for what.
//! * [`status`], [`explanation`], [`forecast`]: why a consume would be refused, why a balance is what it is, what ends.
//!
//! Lock order: wallets by key, then any other row, then `job` and last `request` rows. Grants and holds are read in the
//! statements after the one that locks their wallets: under READ COMMITTED only those see what the last holder wrote.
//!
//! What is decided is pure, and a crate of its own: `ledger`. Here is what reads for it and writes what it says; only
//! [`post`] changes a balance.

pub mod activity;
pub(crate) mod answers;
pub mod balances;
pub(super) mod commit;
pub(crate) mod drawn;
pub(super) mod erase;
pub mod explanation;
pub mod facts;
pub mod forecast;
pub mod grants;
pub mod holds;
pub mod load;
mod named;
pub(super) mod part;
pub(super) mod post;
pub(super) mod preview;
pub(super) mod runs;

pub use ::ledger::command::{
    Capture, Closing, Command, Consume, Cost, Extend, Extension, Freeze, Issue, OnExpired, Place, Preview, Release,
    Reprice, Reverse, RollOver, Settle, Transfer, Void, Words,
};
use ::ledger::record;
pub use ::ledger::{
    books, caps, chain, command, decide, draw, expiration, movement, replay, selling, settle, state, status, watch,
};
pub use answers::Outcome;

use entity::activity::{ActorKind, Source};

use crate::ground::error::{Error, Result};
use crate::storage::store::Store;
use crate::storage::tx::Tx;
use post::Ground;

/// Carries out commands within an open transaction, which does more than the ledger; what one that is refused would have
/// done is left out, and the others stay. Once only if the transaction sees to it.
pub(super) async fn within(
    tx: &Tx,
    store: &Store,
    by: ((ActorKind, String), Source),
    commands: Vec<Command>,
) -> Result<Vec<Result<Outcome>>> {
    let ground = Ground { txn: tx.db(), accounts: std::slice::from_ref(&tx.account), store, within: Some(tx) };
    let (actor, source) = by;
    let job = |command| post::Job::within(tx.account.id, actor.clone(), source, command).because(tx.cause);
    let jobs = commands.into_iter().map(job).collect::<Vec<_>>();
    tx.touch(jobs.iter().flat_map(|job| job.command.customers()));
    match post::post(&ground, &jobs.iter().collect::<Vec<_>>()).await {
        Ok(outcomes) => Ok(outcomes),
        Err(post::Failure::Database(error)) => Err(error.into()),
        Err(post::Failure::Twin) => Err(Error::Internal("a command without a key met a twin".to_owned())),
    }
}
