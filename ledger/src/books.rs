//! The wallets that a set of commands looks at and changes, in memory (pure): settles, decides, applies.
//!
//! Whoever writes gets each entry just before it becomes true, and answers the hash that its activity carries.

use std::collections::{HashMap, HashSet};

use crate::activity::Source;
use crate::{Account, ActivityId, CreditType, CreditTypeId, CustomerId, Totals};
use uuid::Uuid;

use super::command::Command;
use super::decide::{Circumstances, Used, decide};
use super::state::{Entry, Wallet, WalletKey};
use super::watch::{Noticed, Watch};
use crate::cause::Cause;
use crate::refusal::Refusal;
use crate::time::Instant;

/// What commands of one account look at and change.
pub struct Books {
    pub account: Account,
    pub wallets: HashMap<WalletKey, Wallet>,
    pub types: HashMap<CreditTypeId, CreditType>,
    /// Since when each customer is archived; looked up for those who get credits.
    pub customers: HashMap<CustomerId, Option<Instant>>,
    /// Who was erased, of those who get credits and about whom something is said.
    pub erased: HashSet<CustomerId>,
    /// What reverses are to undo.
    pub used: HashMap<ActivityId, Used>,
    /// The thresholds that were crossed, in the order in which they were.
    pub noticed: Vec<Noticed>,
}

/// A command and what it is decided by.
pub struct Ask<'a> {
    pub command: &'a Command,
    pub source: Source,
    /// What led to it.
    pub cause: Cause,
    /// The account's time.
    pub clock: Instant,
    /// Where ids come from.
    pub fresh: &'a dyn Fn() -> Uuid,
}

/// Who makes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Command,
    Time,
}

impl Books {
    /// Those of an account, still empty.
    #[must_use]
    pub fn of(account: Account) -> Self {
        Self {
            account,
            wallets: HashMap::new(),
            types: HashMap::new(),
            customers: HashMap::new(),
            erased: HashSet::new(),
            used: HashMap::new(),
            noticed: Vec::new(),
        }
    }

    /// Settles the command's wallets, decides it, and makes true what it does. A refusal leaves what time has done.
    pub fn play(
        &mut self,
        ask: &Ask<'_>,
        write: &mut dyn FnMut(&Wallet, &mut Entry, Author) -> Vec<u8>,
    ) -> Result<(), Refusal> {
        let key = ask.command.wallet();
        let credit_type = self.existing(ask.command)?.clone();
        self.may_be_said(ask)?;
        let mut keys = vec![key];
        keys.extend(ask.command.receives().filter(|other| *other != key));
        keys.sort_unstable();
        let instants = keys.iter().filter_map(|key| self.wallets.get(key)).map(|wallet| wallet.instant(ask.clock));
        let at = instants.max().unwrap_or(ask.clock);
        let mut watch = Watch::new(&credit_type, &mut self.noticed);
        for key in &keys {
            if let Some(wallet) = self.wallets.get_mut(key) {
                wallet.settle_each(at, |wallet, entry| {
                    make_true(wallet, entry, (Author::Time, Cause::default()), &mut watch, write);
                });
                watch.until(wallet, at);
                watch.close(wallet);
            }
        }
        let none = Wallet::new(Totals::empty(self.account.id, key), Vec::new(), Vec::new());
        let wallet = self.wallets.get(&key).unwrap_or(&none);
        let receiver = ask.command.receives().map(|(customer, _)| customer);
        let around = Circumstances {
            account: &self.account,
            credit_type: &credit_type,
            archived: receiver.is_some_and(|customer| self.customers.get(&customer).is_some_and(Option::is_some)),
            receiver: ask.command.receives().filter(|to| *to != key).and_then(|to| self.wallets.get(&to)),
            used: if let Command::Reverse(reverse) = ask.command { self.used.get(&reverse.activity) } else { None },
            source: ask.source,
            fresh: ask.fresh,
            at,
        };
        for posting in decide(wallet, ask.command, &around)? {
            self.note_reversed(&posting.entry);
            let wallet = self.wallets.get_mut(&posting.wallet).expect("what an entry is written in is there");
            let mut watch = Watch::new(&credit_type, &mut self.noticed);
            make_true(wallet, posting.entry, (Author::Command, ask.cause), &mut watch, write);
        }
        Ok(())
    }

    /// Refuses what says something about who was erased, unless it was agreed before.
    fn may_be_said(&self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let Some(field) = said_in(ask.command).filter(|_| !ask.source.is_agreed()) else { return Ok(()) };
        if ask.command.customers().any(|customer| self.erased.contains(&customer)) {
            let message = "This customer was erased: nothing more is said about it. Leave the notes out.";
            return Err(Refusal::invalid(field, message));
        }
        Ok(())
    }

    /// The credit type, if everything that the command names exists.
    fn existing(&self, command: &Command) -> Result<&CreditType, Refusal> {
        let (customer, credit_type) = command.wallet();
        let field = if matches!(command, Command::Transfer(_)) { "fromCustomerId" } else { "customerId" };
        if !self.customers.contains_key(&customer) {
            return Err(Refusal::not_found(field, "customer"));
        }
        if command.receives().is_some_and(|(customer, _)| !self.customers.contains_key(&customer)) {
            return Err(Refusal::not_found("toCustomerId", "customer"));
        }
        self.types.get(&credit_type).ok_or_else(|| Refusal::not_found("creditTypeId", "credit type"))
    }

    /// The next command about the same activity finds less to undo, or more of it marked.
    fn note_reversed(&mut self, entry: &Entry) {
        let Some(used) = entry.reverses.and_then(|id| self.used.get_mut(&id)) else { return };
        used.follow(entry.kind, &entry.draws);
    }
}

/// The field in which a command says something about a customer that an erasure would have to blank, if it does.
#[must_use]
pub fn said_in(command: &Command) -> Option<&'static str> {
    let words = command.words();
    words.note.map(|_| "note").or(words.internal_note.map(|_| "internalNote"))
}

fn make_true(
    wallet: &mut Wallet,
    mut entry: Entry,
    (author, cause): (Author, Cause),
    watch: &mut Watch<'_>,
    write: &mut dyn FnMut(&Wallet, &mut Entry, Author) -> Vec<u8>,
) {
    watch.until(wallet, entry.at);
    if author == Author::Time {
        watch.time_does(wallet, entry.at);
    }
    let before = watch.before(wallet, entry.at);
    let hash = write(wallet, &mut entry, author);
    wallet.apply(&entry);
    wallet.row.hash = hash;
    if author == Author::Command {
        watch.changed(wallet, before, entry.at, cause);
    }
}
