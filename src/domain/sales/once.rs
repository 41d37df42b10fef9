//! Operations of selling, once per key: what a key was answered is answered again.

use std::collections::HashMap;

use entity::OrderId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::caller::{Caller, Scope};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::input;
use crate::domain::ledger::requests::{self, Known, Recorded, RequestKey};
use crate::domain::tx::Tx;

/// How often an operation that met another is run.
const TRIES: u32 = 8;

/// An operation that is carried out once per key.
pub(super) trait Operation: Serialize + Sync {
    /// What it is called in the API.
    const NAME: &'static str;

    /// What it does, in a transaction that is committed with its key; answers the order that it is about.
    fn run(&self, tx: &Tx, caller: &Caller) -> impl Future<Output = Result<OrderId>> + Send;

    /// What tells two requests under one key apart: a version, then SHA-256 of the mutation and the arguments given.
    fn fingerprint(&self) -> Vec<u8> {
        const VERSION: u8 = 1;
        let canonical = serde_json::to_vec(&(Self::NAME, self)).expect("arguments are plain data");
        [&[VERSION], Sha256::digest(canonical).as_slice()].concat()
    }
}

/// Carries out an operation with its key, or finds what the key was answered; says which.
///
/// A twin that was faster has the key by the time that this one writes it: run again, and its record is found.
pub(super) async fn once(
    caller: &Caller,
    scope: Scope,
    key: &str,
    operation: &impl Operation,
) -> Result<(OrderId, bool)> {
    caller.authorise(scope)?;
    let key = (caller.key_space(), input::key("idempotencyKey", key)?);
    for _ in 0..TRIES {
        match attempt(caller, scope, &key, operation).await {
            Ok(None) | Err(Error::Conflict(_)) => {}
            Ok(Some(done)) => return Ok(done),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable("other transactions are in the way of this one".into()))
}

async fn attempt(
    caller: &Caller,
    scope: Scope,
    key: &RequestKey,
    operation: &impl Operation,
) -> Result<Option<(OrderId, bool)>> {
    let tx = caller.begin(scope).await?;
    let fingerprint = operation.fingerprint();
    let now = caller.app().store().clock.now();
    let known = requests::load(tx.db(), tx.account.id, std::iter::once(key.clone()), now).await?;
    if let Some(known) = known.get(key) {
        return match &known.recorded {
            _ if known.fingerprint != fingerprint => Err(Refusal::IdempotencyKeyReused.into()),
            Recorded::Ordered(order) => Ok(Some((*order, true))),
            Recorded::Refused(refusal) => Err(Error::RefusedBefore(refusal.clone())),
            Recorded::Done(_) | Recorded::Begun(_) => Err(Refusal::IdempotencyKeyReused.into()),
        };
    }
    let (tx, recorded, done) = match operation.run(&tx, caller).await {
        Ok(order) => (tx, Recorded::Ordered(order), Ok(Some((order, false)))),
        // What it did until then is undone; the answer is kept, so that a late twin gets the same one.
        Err(Error::Refused(refusal)) if refusal.is_recorded() => {
            drop(tx);
            (caller.begin(scope).await?, Recorded::Refused(refusal.clone()), Err(refusal.into()))
        }
        Err(error) => return Err(error),
    };
    let known = HashMap::from([(key.clone(), Known { fingerprint, recorded, fresh: true })]);
    if !requests::record(tx.db(), tx.account.id, &known, now).await? {
        return Ok(None);
    }
    tx.commit().await?;
    done
}
