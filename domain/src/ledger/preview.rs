//! What a command would do to what a snapshot shows: the same path, and nothing is written.

use std::collections::BTreeMap;

use entity::activity::{Kind, Source};

use super::books::{Ask, Author};
use super::command::{Command, Preview};
use super::load::{self, Purpose};
use super::state::{Entry, Rest, makes_grants};
use crate::ground::cause::Cause;
use crate::ground::clock::fresh_id;
use crate::ground::error::Result;
use crate::storage::tx::View;

/// What a command would do, if this led to it.
pub async fn preview(view: &View, source: Source, command: &Command) -> Result<Preview> {
    let mut books =
        load::books(view.db(), view.account(), &[command], Purpose::Look(view.whole_wallets), || view.now()).await?;
    let mut entries: Vec<Entry> = Vec::new();
    let key = command.wallet();
    let ask = Ask { command, source, cause: Cause::default(), clock: view.now(), fresh: &fresh_id };
    books.play(&ask, &mut |wallet, entry, author| {
        // What arrives at another customer is not shown: it is what leaves this one.
        if author == Author::Command && wallet.key() == key {
            entries.push(entry.clone());
        }
        wallet.row.hash.clone()
    })?;
    let Some(wallet) = books.wallets.get(&key) else { return Ok(Preview::default()) };
    let first = entries.first();
    let moved = first.map(|entry| entry.draws.clone()).unwrap_or_default();
    let mut cost = BTreeMap::new();
    for draw in &moved {
        let currency = wallet.grant(draw.grant).map(|grant| grant.currency.clone()).unwrap_or_default();
        *cost.entry(currency).or_default() += draw.cost;
    }
    let mut left = wallet.clone();
    left.rest = Rest::default();
    left.grants.retain(|grant| entries.iter().any(|entry| entry.draws.iter().any(|draw| draw.grant == grant.id)));
    let is_issue = first.is_some_and(|entry| makes_grants(entry.kind));
    Ok(Preview {
        draws: moved.iter().filter(|_| !is_issue).map(|draw| (draw.grant, draw.amount)).collect(),
        balance_after: wallet.row.balance,
        would_expire: left.expiries(),
        cost: cost.into_iter().collect(),
        lost: entries.iter().skip(1).filter(|entry| is_loss(entry.kind)).map(Entry::total).sum(),
    })
}

/// As what credits that come back to a grant that has ended, or was voided, go on.
fn is_loss(kind: Kind) -> bool {
    matches!(kind, Kind::Expire | Kind::Void)
}
