//! A whole ledger in memory: its wallets, its records and their chain. What a server keeps in tables, for examples,
//! simulations and tests.

use std::cell::Cell;
use std::collections::HashMap;

use uuid::Uuid;

use crate::activity::{ActorKind, Kind, Source};
use crate::books::{Ask, Author, Books};
use crate::cause::Cause;
use crate::chain::ChainKey;
use crate::command::Command;
use crate::decide::Used;
use crate::record::{Fresh, Posted, Told, record};
use crate::refusal::Refusal;
use crate::replay::Walk;
use crate::state::{Draw, Wallet, WalletKey, uses};
use crate::time::Instant;
use crate::{Account, Activity, ActivityId, CreditType, CreditTypeId, Credits, CustomerId, HoldId, Totals};

/// A ledger of one account, in memory.
pub struct Memory {
    books: Books,
    key: ChainKey,
    fresh: Box<dyn Fn() -> Uuid>,
    /// The records of each wallet, oldest first.
    records: HashMap<WalletKey, Vec<Posted>>,
    /// The number of the record that placed each hold.
    placed: HashMap<HoldId, i64>,
}

/// Ids that are counted from one on: for examples and tests.
pub fn counted() -> impl Fn() -> Uuid {
    let last = Cell::new(0);
    move || {
        last.set(last.get() + 1);
        Uuid::from_u128(last.get())
    }
}

impl Memory {
    /// An empty one. `fresh` is where ids come from: each later one is greater, as UUIDv7 are ([`counted`], in examples).
    #[must_use]
    pub fn new(account: Account, key: ChainKey, fresh: impl Fn() -> Uuid + 'static) -> Self {
        let (records, placed) = (HashMap::new(), HashMap::new());
        Self { books: Books::of(account), key, fresh: Box::new(fresh), records, placed }
    }

    /// Adds a credit type.
    pub fn add_credit_type(&mut self, credit_type: CreditType) {
        self.books.types.insert(credit_type.id, credit_type);
    }

    /// Adds a customer.
    pub fn add_customer(&mut self, customer: CustomerId) {
        self.books.customers.insert(customer, None);
    }

    /// Carries out a command at an instant, and keeps what it writes; answers the records of the command, less those of
    /// what time had done before.
    ///
    /// # Errors
    /// The rule that says no. What time has done is written nevertheless.
    pub fn run(&mut self, command: Command, now: Instant) -> Result<Vec<Activity>, Refusal> {
        let command = command.check()?;
        for key in std::iter::once(command.wallet()).chain(command.receives()) {
            if self.books.customers.contains_key(&key.0) && self.books.types.contains_key(&key.1) {
                let empty = || Wallet::new(Totals::empty(self.books.account.id, key), Vec::new(), Vec::new());
                self.books.wallets.entry(key).or_insert_with(empty);
            }
        }
        if let Command::Reverse(reverse) = &command {
            let of_wallet = self.records.get(&command.wallet()).into_iter().flatten();
            if !of_wallet.map(|(activity, _)| activity.id).any(|id| id == reverse.activity) {
                return Err(Refusal::not_found("activityId", "activity"));
            }
        }
        let (by_command, by_time) =
            (Told::by((ActorKind::System, String::new()), Source::Manual, &command), Told::by_time());
        let ask =
            Ask { command: &command, source: Source::Manual, cause: Cause::default(), clock: now, fresh: &*self.fresh };
        let mut written = Vec::new();
        let done = self.books.play(&ask, &mut |wallet, entry, author| {
            let told = if author == Author::Command { &by_command } else { &by_time };
            // Whoever needs notes that can be erased draws a salt that nobody can guess.
            let fresh = Fresh { id: ActivityId((self.fresh)()), salt: || vec![0; 16] };
            let posted = record(&self.key, wallet, entry, told, &fresh);
            let hash = posted.0.hash.clone();
            written.push((wallet.key(), posted, author));
            hash
        });
        let mut of_command = Vec::new();
        for (key, posted, author) in written {
            self.learn(&posted, author, &command);
            if author == Author::Command {
                of_command.push(posted.0.clone());
            }
            self.records.entry(key).or_default().push(posted);
        }
        done.map(|()| of_command)
    }

    /// Learns what a later command may be about.
    fn learn(&mut self, (activity, allocations): &Posted, author: Author, command: &Command) {
        if activity.kind == Kind::Hold {
            self.placed.extend(activity.hold_id.map(|hold| (hold, activity.sequence)));
        }
        let by_hand = author == Author::Command && matches!(command, Command::Void(_));
        if uses(activity.kind) || activity.kind == Kind::Void && by_hand {
            let drawn = activity.hold_id.and_then(|hold| self.placed.get(&hold).copied()).unwrap_or(activity.sequence);
            let took = allocations.iter().map(Draw::read).collect();
            let used = Used { drawn, ..Used::of(activity.kind, activity.source, took) };
            self.books.used.insert(activity.id, used);
        }
    }

    /// The free credits that a customer can use at an instant.
    #[must_use]
    pub fn available(&self, customer: CustomerId, credit_type: CreditTypeId, now: Instant) -> Credits {
        let Some(mut wallet) = self.wallet(customer, credit_type).cloned() else { return Credits::ZERO };
        let at = wallet.instant(now);
        wallet.settle(at);
        wallet.available(at)
    }

    /// A wallet, as what was written makes it.
    #[must_use]
    pub fn wallet(&self, customer: CustomerId, credit_type: CreditTypeId) -> Option<&Wallet> {
        self.books.wallets.get(&(customer, credit_type))
    }

    /// The records of a wallet, oldest first, with what of each fell on which grant.
    #[must_use]
    pub fn records(&self, customer: CustomerId, credit_type: CreditTypeId) -> &[Posted] {
        self.records.get(&(customer, credit_type)).map_or(&[], Vec::as_slice)
    }

    /// Walks all records from the first to the last; answers what does not fit: nothing, of a ledger that nobody has
    /// altered.
    #[must_use]
    pub fn verify(&self) -> Vec<String> {
        self.verify_by(Clone::clone)
    }

    /// The same with records as somebody has altered them.
    #[must_use]
    pub fn verify_by(&self, alter: impl Fn(&Posted) -> Posted) -> Vec<String> {
        let mut found = Vec::new();
        for (key, wallet) in &self.books.wallets {
            let grants = wallet.grants.iter().map(|grant| (grant.id, grant.clone())).collect();
            let holds = wallet.holds.iter().map(|held| (held.row.id, held.row.clone())).collect();
            let mut walk = Walk::new(&self.key, &wallet.row, &grants, &holds);
            for posted in self.records.get(key).into_iter().flatten() {
                let (activity, allocations) = alter(posted);
                walk.step(&activity, &allocations);
            }
            found.extend(walk.end());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Consume, Issue, OnExpired, Reverse, Words};
    use crate::{AccountId, Expiration};

    /// What an activity used comes back to whom it was used by, and to nobody else.
    #[test]
    fn another_s_activity_is_not_found() {
        let [ada, ben] = [1, 2].map(|number| CustomerId(Uuid::from_u128(number)));
        let [class, other] = [3, 4].map(|number| CreditTypeId(Uuid::from_u128(number)));
        let account = Account::of(AccountId(Uuid::from_u128(5)), "UTC", "CHF");
        let mut ledger = Memory::new(account, ChainKey::new(b"a key for tests"), counted());
        for id in [class, other] {
            ledger.add_credit_type(CreditType::of(id, Expiration::Never));
        }
        for id in [ada, ben] {
            ledger.add_customer(id);
        }
        let now = "2026-01-10T09:00:00Z".parse().expect("an instant");
        ledger.run(Command::Issue(Issue::of(ada, class, Credits(2))), now).expect("issued");
        ledger.run(Command::Issue(Issue::of(ben, class, Credits(2))), now).expect("issued");
        let words = Words::default();
        let one = Consume { customer: ada, credit_type: class, amount: Credits(1), words: words.clone() };
        let activity = ledger.run(Command::Consume(one), now).expect("used")[0].id;
        let mut back = |customer, credit_type| {
            let (amount, on_expired, reason) = (None, OnExpired::Forfeit, "It did not take place".to_owned());
            let back = Reverse { activity, customer, credit_type, amount, on_expired, reason, words: words.clone() };
            ledger.run(Command::Reverse(back), now)
        };
        let missing = Err(Refusal::not_found("activityId", "activity"));
        assert_eq!(back(ben, class), missing);
        assert_eq!(back(ada, other), missing);
        assert!(back(ada, class).is_ok());
        assert_eq!(back(ada, class), Err(Refusal::ReversedBefore));
        assert_eq!(ledger.verify(), Vec::<String>::new());
    }
}
