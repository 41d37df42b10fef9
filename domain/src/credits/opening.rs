//! Opening balances: rows of a file become issues. A rehearsal takes the same path as the issue itself, in memory, so
//! that what it lets pass is refused later only if something changed meanwhile.

use std::collections::{BTreeSet, HashMap};

use entity::activity::Source;
use entity::{CreditTypeId, Credits, CustomerId, Expiration, GrantId, account, credit_grant, credit_type, customer};
use ledger::Totals;
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};

use super::IMPORT;
use crate::ground::cause::Cause;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::books::{Ask, Books};
use crate::ledger::command::{Command, Cost, Issue, Words};
use crate::ledger::part;
use crate::ledger::state::Wallet;
use crate::queue::requests::{self, Recorded};
use crate::storage::tx::View;

/// Rows that are looked up at a time.
pub const CHUNK: usize = 500;

/// One row of a file, its fields understood, and nothing looked up yet.
#[derive(Clone, Debug)]
pub struct Row {
    /// An id, an e-mail address, or the business's own id.
    pub customer: String,
    /// An id or a name.
    pub credit_type: String,
    pub amount: Credits,
    /// As the credit type says, if left out.
    pub expiration: Option<Expiration>,
    pub effective_at: Option<Instant>,
    pub priority: Option<i16>,
    /// What was paid for them, as people write it: `650.00`.
    pub cost: Option<String>,
    /// Of the cost; the account's, if left out.
    pub currency: Option<String>,
    pub note: Option<String>,
    /// Whoever brings the same key again brings nothing new.
    pub key: String,
}

/// What would become of a row.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It would be issued by this command.
    New(Box<Issue>),
    /// It was imported before.
    Known,
    Refused(Refusal),
}

/// What would become of rows, at most [`CHUNK`] of them.
pub async fn rehearse(view: &View, rows: &[Row]) -> Result<Vec<Verdict>> {
    let (customers, types) = (customers(view, rows).await?, types(view, rows).await?);
    let keys = rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    let known = requests::used(view, IMPORT, &keys).await?;
    let exported = keys.iter().filter_map(|key| key.parse().ok()).collect::<Vec<GrantId>>();
    let exported =
        if exported.is_empty() { HashMap::new() } else { crate::ledger::grants::by_ids(view, &exported).await? };
    let mut books = Books::of(view.account().into());
    books.types = types.values().map(|found| (found.id, found.into())).collect();
    books.customers = customers.values().flatten().map(|found| (found.id, found.archived_at)).collect();
    let mut verdicts = Vec::with_capacity(rows.len());
    for row in rows {
        let issue = issue(view, row, customers.get(&row.customer).map(Vec::as_slice), types.get(&row.credit_type));
        let issue = issue.and_then(|issue| match Command::Issue(issue).check()? {
            Command::Issue(issue) => Ok(issue),
            _ => unreachable!("a checked command is the command"),
        });
        let of_here = row.key.parse().is_ok_and(|id: GrantId| exported.contains_key(&id));
        verdicts.push(match issue {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(_) if of_here => {
                let message = "Is the id of a grant of this account: the row was exported from here, and its credits are still there.";
                Verdict::Refused(Refusal::invalid("key", message))
            }
            Ok(issue) => match known.get(&row.key) {
                Some(known) if known.fingerprint != requests::fingerprint(&Command::Issue(issue.clone())) => {
                    Verdict::Refused(Refusal::IdempotencyKeyReused)
                }
                Some(known) => match &known.recorded {
                    Recorded::Refused(refusal) => Verdict::Refused(refusal.clone()),
                    _ => Verdict::Known,
                },
                None => match try_out(&mut books, (Source::Import, view.now()), &issue) {
                    Ok(()) => Verdict::New(Box::new(issue)),
                    Err(refusal) => Verdict::Refused(refusal),
                },
            },
        });
    }
    Ok(verdicts)
}

fn issue(
    view: &View,
    row: &Row,
    customers: Option<&[customer::Model]>,
    credit_type: Option<&credit_type::Model>,
) -> Result<Issue, Refusal> {
    input::key("key", &row.key)?;
    let customer = match customers {
        Some([only]) => only,
        None | Some([]) => return Err(Refusal::not_found("customer", "customer")),
        Some(_) => {
            let message =
                "Is one customer's e-mail address and another one's external id. Name the customer by its id.";
            return Err(Refusal::invalid("customer", message));
        }
    };
    let credit_type = credit_type.ok_or_else(|| Refusal::not_found("credit_type", "credit type"))?;
    let currency = row.currency.clone().unwrap_or_else(|| view.account().currency.clone());
    let currency = input::currency("currency", &currency)?;
    let cost = row.cost.as_deref().map(|text| input::money("cost", text, &currency)).transpose()?;
    Ok(Issue {
        customer: customer.id,
        credit_type: credit_type.id,
        amount: row.amount,
        effective_at: row.effective_at,
        expiration: row.expiration,
        priority: row.priority,
        cost: cost.map(|minor| Cost { minor, currency }),
        metadata: None,
        period: None,
        cap: None,
        words: Words { note: row.note.clone(), ..Words::default() },
    })
}

/// Refuses an issue that would be refused for somebody who has nothing.
pub(crate) fn rehearse_one(
    account: &account::Model,
    credit_type: Option<&credit_type::Model>,
    issue: &Issue,
    (source, now): (Source, Instant),
) -> Result<(), Refusal> {
    let mut books = Books::of(account.into());
    books.types = credit_type.into_iter().map(|found| (found.id, found.into())).collect();
    books.customers = HashMap::from([(issue.customer, None)]);
    try_out(&mut books, (source, now), issue)
}

/// The issue itself, on a wallet that is thrown away.
fn try_out(books: &mut Books, (source, now): (Source, Instant), issue: &Issue) -> Result<(), Refusal> {
    let key = (issue.customer, issue.credit_type);
    let empty = Wallet::new(Totals::empty(books.account.id, key), Vec::new(), Vec::new());
    books.wallets.insert(key, empty);
    let command = Command::Issue(issue.clone());
    let ask = Ask { command: &command, source, cause: Cause::default(), clock: now, fresh: &fresh_id };
    let tried = books.play(&ask, &mut |wallet, _, _| wallet.row.hash.clone());
    books.wallets.clear();
    tried
}

/// The customers that rows name, by what they are named: more than one where that is ambiguous.
async fn customers(view: &View, rows: &[Row]) -> Result<HashMap<String, Vec<customer::Model>>> {
    use customer::Column;
    let names = rows.iter().map(|row| row.customer.as_str()).filter(|name| !name.contains('\0'));
    let names = names.collect::<BTreeSet<_>>();
    let ids = names.iter().filter_map(|name| name.parse::<CustomerId>().ok()).collect::<Vec<_>>();
    let emails = names.iter().filter(|name| name.contains('@')).map(|name| name.to_lowercase()).collect::<Vec<_>>();
    let mut wanted = Condition::any().add(Column::ExternalId.is_in(names.iter().copied()));
    if !ids.is_empty() {
        wanted = wanted.add(Column::Id.is_in(ids));
    }
    if !emails.is_empty() {
        wanted = wanted.add(Column::Email.is_in(emails));
    }
    let found = view.customer_rows::<customer::Entity>().filter(wanted).all(view.db()).await?;
    let mut known: HashMap<String, Vec<&customer::Model>> = HashMap::new();
    for row in &found {
        let mut names = [Some(row.id.to_string()), row.email.clone(), row.external_id.clone()].to_vec();
        names.dedup();
        names.into_iter().flatten().for_each(|name| known.entry(name).or_default().push(row));
    }
    let mut by_name = HashMap::new();
    for name in names {
        let lower = Some(name.to_lowercase()).filter(|lower| name.contains('@') && lower != name);
        let matching = [Some(name.to_owned()), lower].into_iter().flatten().filter_map(|name| known.get(&name));
        let mut matching = matching.flatten().map(|row| (*row).clone()).collect::<Vec<_>>();
        matching.dedup_by_key(|row| row.id);
        by_name.insert(name.to_owned(), matching);
    }
    Ok(by_name)
}

/// The credit types that rows name, by what they are named.
async fn types(view: &View, rows: &[Row]) -> Result<HashMap<String, credit_type::Model>> {
    use credit_type::Column;
    let names = rows.iter().map(|row| row.credit_type.as_str()).filter(|name| !name.contains('\0'));
    let names = names.collect::<BTreeSet<_>>();
    let ids = names.iter().filter_map(|name| name.parse::<CreditTypeId>().ok()).collect::<Vec<_>>();
    let mut wanted = Condition::any().add(Column::Name.is_in(names.iter().copied()));
    if !ids.is_empty() {
        wanted = wanted.add(Column::Id.is_in(ids));
    }
    let found = view.rows::<credit_type::Entity>().filter(wanted).all(view.db()).await?;
    let by_name = names.into_iter().filter_map(|name| {
        let row = found.iter().find(|row| row.name == name || row.id.to_string() == name)?;
        Some((name.to_owned(), row.clone()))
    });
    Ok(by_name.collect())
}

/// A grant as a row: what is free of it.
#[derive(Clone, Debug)]
pub struct Exported {
    pub grant: credit_grant::Model,
    pub customer: customer::Model,
    pub credit_type: credit_type::Model,
}

/// The grants of an account with something free, oldest first, a part at a time.
pub async fn export(caller: &Caller, mut each: impl FnMut(Vec<Exported>) -> Result<()>) -> Result<()> {
    use credit_grant::Column;
    let view = caller.view(Scope::StaffRead).await?;
    let mut after = None;
    loop {
        let mut select = view.rows::<credit_grant::Entity>();
        if let Some(after) = after {
            select = select.filter(Column::Id.gt(after));
        }
        let open = Condition::any().add(part::is_open()).add(Column::Held.gt(0_i64));
        let grants = select.filter(open).order_by_asc(Column::Id).limit(CHUNK as u64).all(view.db()).await?;
        let Some(last) = grants.last() else { return Ok(()) };
        after = Some(last.id);
        let grants = crate::ledger::holds::grants_now(&view, grants).await?;
        let ids = grants.iter().map(|grant| grant.customer_id).collect::<Vec<_>>();
        let customers = crate::customers::by_ids(&view, &ids).await?;
        let ids = grants.iter().map(|grant| grant.credit_type_id).collect::<Vec<_>>();
        let types = crate::catalog::credit_types::by_ids(&view, &ids).await?;
        let exported = grants.into_iter().filter_map(|grant| {
            let customer = customers.get(&grant.customer_id)?.clone();
            let credit_type = types.get(&grant.credit_type_id)?.clone();
            Some(Exported { grant, customer, credit_type })
        });
        each(exported.collect())?;
    }
}
