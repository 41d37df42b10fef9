//! Anchors: the heads of all chains at one time, kept outside the database. A chain whose end was cut off is whole in
//! itself; it does not reach its anchored head any more.

use std::collections::HashMap;
use std::fmt::Write;

use entity::{AccountId, activity};
use ledger::Totals;
use sea_orm::{ColumnTrait, Condition, QueryFilter};

use super::verify::{Finding, next_wallets};
use crate::ground::error::{Refusal, Result};
use crate::ground::scope::Scope;
use crate::identity::app::App;
use crate::identity::caller::Caller;
use crate::ledger::state::WalletKey;

/// What the text begins with; the number goes up when its form changes.
const TITLE: &str = "scrip anchor 1";
/// Heads that are looked up at a time.
const CHUNK: usize = 200;

/// The newest record of a wallet: its number and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub wallet: WalletKey,
    pub sequence: i64,
    pub hash: Vec<u8>,
}

/// The heads of some accounts.
pub type Heads = Vec<(AccountId, Vec<Head>)>;

/// The heads of all chains of an account.
pub async fn heads(caller: &Caller) -> Result<Vec<Head>> {
    let view = caller.view(Scope::StaffRead).await?;
    let mut heads = Vec::new();
    let mut after = None;
    loop {
        let rows = next_wallets(&view, after).await?;
        let Some(last) = rows.last() else { return Ok(heads) };
        after = Some((last.customer_id, last.credit_type_id));
        let head = |row: Totals| Head {
            wallet: (row.customer_id, row.credit_type_id),
            sequence: row.sequence,
            hash: row.hash,
        };
        heads.extend(rows.into_iter().filter(|row| row.sequence > 0).map(head));
    }
}

/// Anchored heads that an account's chains do not have any more.
pub async fn check(caller: &Caller, heads: &[Head]) -> Result<Vec<Finding>> {
    let view = caller.view(Scope::StaffRead).await?;
    let mut findings = Vec::new();
    for heads in heads.chunks(CHUNK) {
        let wanted = heads.iter().fold(Condition::any(), |any, head| {
            let of_wallet = activity::Column::CustomerId.eq(head.wallet.0);
            let of_wallet = Condition::all().add(of_wallet).add(activity::Column::CreditTypeId.eq(head.wallet.1));
            any.add(of_wallet.add(activity::Column::Sequence.eq(head.sequence)))
        });
        let rows = view.rows::<activity::Entity>().filter(wanted).all(view.db()).await?;
        let found = rows
            .into_iter()
            .map(|row| ((row.customer_id, row.credit_type_id, row.sequence), row.hash))
            .collect::<HashMap<_, _>>();
        for head in heads {
            let (customer, credit_type) = head.wallet;
            let what = match found.get(&(customer, credit_type, head.sequence)) {
                Some(hash) if *hash == head.hash => continue,
                Some(_) => format!("activity {} is not the one that was anchored", head.sequence),
                None => format!("activity {} was anchored, and is gone: the end was cut off", head.sequence),
            };
            findings.push(Finding { wallet: Some(head.wallet), what });
        }
    }
    Ok(findings)
}

/// Heads as a signed text.
#[must_use]
pub fn write(app: &App, heads: &Heads) -> String {
    let mut text = format!("{TITLE}\n");
    for (account, heads) in heads {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "account {account}");
        for head in heads {
            let (customer, credit_type) = head.wallet;
            let hash = data_encoding::HEXLOWER.encode(&head.hash);
            let _ = writeln!(text, "{customer} {credit_type} {} {hash}", head.sequence);
        }
    }
    let signature = data_encoding::HEXLOWER.encode(&app.store().key.sign_text(&text));
    text + "signature " + &signature + "\n"
}

/// The heads of a text that this ledger's key has signed.
pub fn read(app: &App, text: &str) -> Result<Heads> {
    let refuse = |what: &str| Refusal::invalid("anchor", format!("Is not an anchor of this ledger: {what}."));
    let (signed, signature) = text.trim_end().rsplit_once("signature ").ok_or_else(|| refuse("it has no signature"))?;
    let expected = data_encoding::HEXLOWER.encode(&app.store().key.sign_text(signed));
    if signature != expected {
        return Err(refuse("the signature is not by this ledger's key, or the file was altered").into());
    }
    let mut lines = signed.lines();
    if lines.next() != Some(TITLE) {
        return Err(refuse("it was written by another version").into());
    }
    let mut heads: Heads = Vec::new();
    for line in lines {
        let parts = line.split(' ').collect::<Vec<_>>();
        match (parts.as_slice(), heads.last_mut()) {
            (["account", id], _) => heads.push((id.parse().map_err(|_| refuse(line))?, Vec::new())),
            ([customer, credit_type, sequence, hash], Some((_, heads))) => heads.push(Head {
                wallet: (customer.parse().map_err(|_| refuse(line))?, credit_type.parse().map_err(|_| refuse(line))?),
                sequence: sequence.parse().map_err(|_| refuse(line))?,
                hash: data_encoding::HEXLOWER.decode(hash.as_bytes()).map_err(|_| refuse(line))?,
            }),
            _ => return Err(refuse(line).into()),
        }
    }
    Ok(heads)
}
