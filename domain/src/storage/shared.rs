//! Hints between servers on one PostgreSQL, by LISTEN and NOTIFY.

use std::convert::Infallible;

use data_encoding::BASE64URL_NOPAD;
use entity::{AccountId, CustomerId};
use sea_orm::{DbBackend, Statement};
use uuid::Uuid;

use super::live::{Untold, Whose};
use super::store::Store;
use crate::ground::error::{Error, Result};

/// The channel.
const CHANNEL: &str = "scrip_live";
/// What is said when there is too much to name.
const ALL: &str = "*";
/// Names in one message: it holds 8,000 bytes at most.
const NAMES: usize = 150;

/// Whether other servers may be on the same database.
#[must_use]
pub fn is_shared(store: &Store) -> bool {
    !store.has_one_writer()
}

/// Tells other servers.
pub async fn tell(store: &Store, untold: &Untold) -> Result<()> {
    let whose = untold.whose.iter().copied().map(written).collect::<Vec<_>>();
    let mut messages = whose.chunks(NAMES).map(<[String]>::concat).collect::<Vec<_>>();
    if untold.all {
        messages.push(ALL.to_owned());
    }
    for message in messages {
        let values = [CHANNEL.into(), message.into()];
        let notify = Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_notify($1, $2)", values);
        store.beside(notify).await?;
    }
    Ok(())
}

/// Hears from other servers, until the connection is lost.
pub async fn listen(store: &Store) -> Result<Infallible> {
    let lost = |error: sqlx::Error| Error::Unavailable(error.to_string().into());
    let mut listener = sqlx::postgres::PgListener::connect(store.url()).await.map_err(lost)?;
    listener.listen(CHANNEL).await.map_err(lost)?;
    // What was said before is not heard any more.
    store.hub.heard_all();
    loop {
        // None where the connection was lost and made anew: something may have been missed.
        match listener.try_recv().await.map_err(lost)? {
            Some(message) if message.payload() != ALL => {
                for whose in read(message.payload()) {
                    store.hub.heard(whose);
                }
            }
            _ => store.hub.heard_all(),
        }
    }
}

/// Two UUIDs in 43 characters.
fn written((account, customer): Whose) -> String {
    BASE64URL_NOPAD.encode(&[account.0.into_bytes(), customer.0.into_bytes()].concat())
}

fn read(message: &str) -> impl Iterator<Item = Whose> + '_ {
    message.as_bytes().chunks(43).filter_map(|name| {
        let bytes = BASE64URL_NOPAD.decode(name).ok()?;
        let (account, customer) = bytes.split_at_checked(16)?;
        Some((AccountId(Uuid::from_slice(account).ok()?), CustomerId(Uuid::from_slice(customer).ok()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_is_left_out() {
        let whose = |number: u128| (AccountId(Uuid::from_u128(number)), CustomerId(Uuid::from_u128(number + 1)));
        let message = (0..NAMES as u128).map(|number| written(whose(number))).collect::<Vec<_>>().concat();
        assert!(message.len() < 8_000);
        assert_eq!(read(&message).collect::<Vec<_>>(), (0..NAMES as u128).map(whose).collect::<Vec<_>>());
        assert_eq!(read("nonsense").count(), 0);
    }
}
