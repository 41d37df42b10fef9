//! What a stranger sees of the order it placed, by the token that it was given: what was ordered and whether it is paid,
//! and nothing of the customer whose order it became.

use data_encoding::BASE64URL_NOPAD;
use entity::{AccountId, OrderId, order_line, payment, product, product_order};
use uuid::Uuid;

use super::orders;
use crate::catalog::products;
use crate::ground::error::{Error, Result};
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::storage::tx::{Sight, View};

/// What a token begins with.
const PREFIX: &str = "otk_";

/// An order as its buyer sees it.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub order: product_order::Model,
    pub lines: Vec<(order_line::Model, Option<product::Model>)>,
    /// The newest.
    pub payment: Option<payment::Model>,
}

/// The token of an order: the account, the order, and a secret made of both.
#[must_use]
pub fn token(caller: &Caller, account: AccountId, order: OrderId) -> String {
    let secret = caller.app().store().key.order_secret(account, order);
    let bytes = [account.0.as_bytes().as_slice(), order.0.as_bytes(), &secret].concat();
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// The token of an order that this caller, a stranger, has just placed.
pub fn token_of(caller: &Caller, order: OrderId) -> Result<String> {
    let account = caller.authorise(Scope::OrderForm)?;
    Ok(token(caller, account, order))
}

/// The order of a token; none if there is none, or the token is not genuine.
pub async fn by_token(caller: &Caller, text: &str) -> Result<Option<Receipt>> {
    let Some((account, order, secret)) = read(text) else { return Ok(None) };
    let store = caller.app().store();
    if !same(&store.key.order_secret(account, order), &secret) {
        return Ok(None);
    }
    // The token is the permission: it shows this one order.
    let view = match View::open(store, account, Sight::All, None).await {
        Err(Error::Unauthenticated) => return Ok(None),
        view => view?,
    };
    let Some(found) = orders::by_ids(&view, &[order]).await?.remove(&order) else { return Ok(None) };
    let lines = orders::lines(&view, &[order]).await?.remove(&order).unwrap_or_default();
    let ids = lines.iter().map(|line| line.product_id).collect::<Vec<_>>();
    let products = products::of_rows_in_hand(&view, &ids).await?;
    let lines = lines.into_iter().map(|line| (line.clone(), products.get(&line.product_id).cloned())).collect();
    let payment = orders::payments_of(&view, &[order]).await?.remove(&order).and_then(|mut all| all.pop());
    Ok(Some(Receipt { order: found, lines, payment }))
}

fn read(text: &str) -> Option<(AccountId, OrderId, Vec<u8>)> {
    let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
    let (account, order) = (bytes.get(..16)?, bytes.get(16..32)?);
    let id = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    Some((AccountId(id(account)?), OrderId(id(order)?), bytes.get(32..)?.to_vec()))
}

/// Compares without telling by the time it takes where two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
