//! Operations beyond the ledger's own, once per key: what a key was answered is answered again.

use std::collections::HashMap;

use entity::{BulkOperationId, EnrolmentId, EventId, OrderId, SubscriptionId};
use serde::Serialize;

use super::caller::{Caller, transact};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::queue::requests::{self, Known, Recorded, RequestKey};
use crate::storage::tx::{TRIES, Tx};

/// An operation that is carried out once per key.
pub(crate) trait Operation: Serialize + Sync {
    /// What it is called in the API.
    const NAME: &'static str;
    /// The id of what it is about, which its key remembers.
    type Made: Made;

    /// What it does, in a transaction that is committed with its key; answers what it is about.
    fn run(&self, tx: &Tx, caller: &Caller) -> impl Future<Output = Result<Self::Made>> + Send;

    /// What tells two requests under one key apart: the mutation and the arguments given.
    fn fingerprint(&self) -> Vec<u8> {
        requests::fingerprint(&(Self::NAME, self))
    }
}

/// An id that a key can remember.
pub(crate) trait Made: Copy + Send {
    /// As it is recorded.
    fn record(self) -> Recorded;
    /// Out of what was recorded; none if the key was used for something else.
    fn read(recorded: &Recorded) -> Option<Self>;
}

macro_rules! made {
    ($($id:ident = $recorded:ident;)+) => {$(
        impl Made for $id {
            fn record(self) -> Recorded {
                Recorded::$recorded(self)
            }

            fn read(recorded: &Recorded) -> Option<Self> {
                if let Recorded::$recorded(id) = recorded { Some(*id) } else { None }
            }
        }
    )+};
}

made! {
    BulkOperationId = Begun;
    OrderId = Ordered;
    SubscriptionId = Subscribed;
    EventId = Tracked;
    EnrolmentId = Enrolled;
}

/// Carries out an operation with its key, or finds what the key was answered; says which.
///
/// A twin that was faster has the key by the time that this one writes it: run again, and its record is found.
pub(crate) async fn once<O: Operation>(
    caller: &Caller,
    scope: Scope,
    key: &str,
    operation: &O,
) -> Result<(O::Made, bool)> {
    let key = (caller.key_space(), input::key("idempotencyKey", key)?);
    once_in(caller, scope, key, operation).await
}

/// The same, with a key of another's.
pub(crate) async fn once_in<O: Operation>(
    caller: &Caller,
    scope: Scope,
    key: RequestKey,
    operation: &O,
) -> Result<(O::Made, bool)> {
    caller.authorise(scope)?;
    for _ in 0..TRIES {
        match attempt(caller, scope, &key, operation).await {
            Ok(None) | Err(Error::Conflict(_)) => {}
            Ok(Some(done)) => return Ok(done),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable("other transactions are in the way of this one".into()))
}

/// The same where a key may be left out: then it is carried out each time.
pub(crate) async fn once_if<O: Operation>(
    caller: &Caller,
    scope: Scope,
    key: Option<&str>,
    operation: &O,
) -> Result<(O::Made, bool)> {
    if let Some(key) = key {
        return once(caller, scope, key, operation).await;
    }
    transact!(caller, scope, |tx| { operation.run(tx, caller).await }).map(|made| (made, false))
}

async fn attempt<O: Operation>(
    caller: &Caller,
    scope: Scope,
    key: &RequestKey,
    operation: &O,
) -> Result<Option<(O::Made, bool)>> {
    let tx = caller.begin(scope).await?;
    let fingerprint = operation.fingerprint();
    let now = caller.app().store().clock.now();
    let place = (tx.account.id, key.clone());
    let known = requests::load(tx.db(), [place.clone()], now).await?;
    if let Some(known) = known.get(&place).filter(|known| known.concerns(&fingerprint)) {
        return match (&known.recorded, O::Made::read(&known.recorded)) {
            _ if known.fingerprint != fingerprint => Err(Refusal::IdempotencyKeyReused.into()),
            (_, Some(made)) => Ok(Some((made, true))),
            (Recorded::Refused(refusal), None) => Err(Error::RefusedBefore(refusal.clone())),
            (_, None) => Err(Refusal::IdempotencyKeyReused.into()),
        };
    }
    let (tx, recorded, done) = match operation.run(&tx, caller).await {
        Ok(made) => (tx, made.record(), Ok(Some((made, false)))),
        // What it did until then is undone; the answer is kept, so that a late twin gets the same one.
        Err(Error::Refused(refusal)) if refusal.is_recorded() => {
            drop(tx);
            (caller.begin(scope).await?, Recorded::Refused(refusal.clone()), Err(refusal.into()))
        }
        // It may be refused for what a twin has done meanwhile: then that one's answer is the answer.
        Err(error @ Error::Refused(_)) => {
            drop(tx);
            let tx = caller.begin(scope).await?;
            let twin = requests::load(tx.db(), [place], now).await?;
            return if twin.values().any(|twin| twin.concerns(&fingerprint)) { Ok(None) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    let known = HashMap::from([(place, Known { fingerprint, recorded, fresh: true, earlier: false })]);
    if !requests::record(tx.db(), &known, now).await? {
        return Ok(None);
    }
    tx.commit().await?;
    done
}
