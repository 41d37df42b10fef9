//! The pure core beside the naive ledger: after every step, what was written and what there is must be the same.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use chrono_tz::Tz;
use ledger::activity::{Kind, Source};
use ledger::books::{Ask, Author, Books};
use ledger::cause::Cause;
use ledger::command::Command;
use ledger::decide::Used;
use ledger::hold::Status;
use ledger::refusal::Refusal;
use ledger::state::{Entry, Wallet, uses};
use ledger::time::Instant;
use ledger::{
    Account, AccountId, ActivityId, CreditType, CreditTypeId, Credits, CustomerId, Expiration, Grant, GrantId, HoldId,
    Minor, Totals,
};
use uuid::Uuid;

use super::steps::{Names, PEOPLE, Timed};
use super::{Line, Naive, Place};

pub fn start() -> Instant {
    Instant::from_timestamp(1_800_000_000, 0).expect("in range")
}

pub const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
pub const TYPE: CreditTypeId = CreditTypeId(Uuid::from_u128(3));

fn account(zone: Tz) -> Account {
    Account::of(ACCOUNT, zone.name(), "CHF")
}

/// Empty books of people.
pub fn books(people: &[CustomerId]) -> Books {
    let wallet = |customer: &CustomerId| {
        let key = (*customer, TYPE);
        (key, Wallet::new(Totals::empty(ACCOUNT, key), Vec::new(), Vec::new()))
    };
    Books {
        account: account(Tz::Europe__Zurich),
        wallets: people.iter().map(wallet).collect(),
        types: HashMap::from([(TYPE, CreditType::of(TYPE, Expiration::Never))]),
        customers: people.iter().map(|customer| (*customer, None)).collect(),
        erased: HashSet::new(),
        used: HashMap::new(),
        noticed: Vec::new(),
    }
}

/// Two ledgers, playing the same history.
pub struct Game {
    pub books: Books,
    pub naive: Naive,
    people: Vec<CustomerId>,
    lots: Vec<GrantId>,
    holds: Vec<HoldId>,
    placed: HashMap<HoldId, i64>,
    uses: Vec<ActivityId>,
    ids: Cell<u128>,
    newest: HashMap<CustomerId, Instant>,
}

impl Game {
    pub fn new(zone: Tz) -> Self {
        let people = (0..PEOPLE).map(|n| CustomerId(Uuid::from_u128(100 + n as u128))).collect::<Vec<_>>();
        let books = Books { account: account(zone), ..books(&people) };
        Self {
            books,
            naive: Naive::new(zone, start()),
            people,
            lots: Vec::new(),
            holds: Vec::new(),
            placed: HashMap::new(),
            uses: Vec::new(),
            ids: Cell::new(1000),
            newest: HashMap::new(),
        }
    }

    /// Plays a step on both; answers the kinds that were written.
    pub fn play(&mut self, (hours, step): &Timed) -> Vec<Kind> {
        self.naive.now += TimeDelta::hours(*hours);
        let Some(settled) = step.whom(&self.naive) else { return Vec::new() };
        let mut expected = Vec::new();
        let mut wallets = settled.clone();
        wallets.sort_unstable();
        for who in wallets {
            expected.extend(self.naive.settle(who));
        }
        let cost = |of: Option<ActivityId>, grant: GrantId| self.cost(of, grant);
        let names = Names {
            people: &self.people,
            credit_type: TYPE,
            lots: &self.lots,
            holds: &self.holds,
            uses: &self.uses,
            cost: &cost,
        };
        let commands = step.commands(&self.naive, &names);
        let answers = step.answers(&mut self.naive);
        let mut lines = Vec::new();
        for (command, answer) in commands.iter().zip(answers) {
            match (answer, self.run(command, &mut lines)) {
                (Ok(done), Ok(())) => expected.extend(done),
                (Err(code), Err(refusal)) => assert_eq!(code, refusal.code(), "{step:?}"),
                (expected, outcome) => panic!("{step:?}: the naive ledger says {expected:?}, the core {outcome:?}"),
            }
        }
        assert_eq!(lines, expected, "{step:?}");
        self.check();
        lines.into_iter().map(|(_, kind, _)| kind).collect()
    }

    /// What used credits of a grant cost that an activity used, or its ended ones.
    fn cost(&self, of: Option<ActivityId>, grant: GrantId) -> Minor {
        if let Some(used) = of.and_then(|id| self.books.used.get(&id)) {
            return used.left.iter().filter(|draw| draw.grant == grant).map(|draw| draw.cost).sum();
        }
        let grants = self.books.wallets.values().flat_map(|wallet| &wallet.grants);
        grants.filter(|found| found.id == grant).map(|found| found.cost_expired).sum()
    }

    /// Plays a command on the core; adds what was written.
    fn run(&mut self, command: &Command, lines: &mut Vec<Line>) -> Result<(), Refusal> {
        let fresh = || {
            self.ids.set(self.ids.get() + 1);
            Uuid::from_u128(self.ids.get())
        };
        let ask =
            Ask { command, source: Source::Manual, cause: Cause::default(), clock: self.naive.now, fresh: &fresh };
        let mut written: Vec<(CustomerId, Entry, Author, i64)> = Vec::new();
        let outcome = self.books.play(&ask, &mut |wallet, entry, author| {
            let sequence = wallet.row.sequence + 1;
            // As whoever writes does.
            entry.opened.iter_mut().for_each(|hold| hold.sequence = sequence);
            written.push((wallet.row.customer_id, entry.clone(), author, sequence));
            Vec::new()
        });
        for (customer, entry, author, sequence) in &written {
            let newest = self.newest.entry(*customer).or_insert(entry.at);
            assert!(*newest <= entry.at, "activities go back in time: {entry:?}");
            *newest = entry.at;
            self.learn(entry, *sequence);
            // What was voided by hand can be undone, not what goes on because its grant is closed.
            let by_hand = *author == Author::Command && matches!(command, Command::Void(_));
            if entry.kind == Kind::Void && by_hand {
                self.learn_undoable(entry, *sequence);
            }
        }
        lines.extend(written.iter().map(|(customer, entry, ..)| self.line(*customer, entry)));
        outcome
    }

    /// Learns the ids of what was made.
    fn learn(&mut self, entry: &Entry, sequence: i64) {
        self.lots.extend(entry.issued.iter().map(|grant| grant.id));
        if let Some(hold) = &entry.opened {
            self.holds.push(hold.id);
            self.placed.insert(hold.id, sequence);
        }
        if uses(entry.kind) {
            self.learn_undoable(entry, sequence);
        }
    }

    /// What was set aside was drawn then.
    fn learn_undoable(&mut self, entry: &Entry, sequence: i64) {
        let id = ActivityId(Uuid::from_u128(1_000_000 + self.uses.len() as u128));
        self.uses.push(id);
        let drawn = entry.hold.map_or(sequence, |hold| self.placed[&hold]);
        self.books.used.insert(id, Used { drawn, ..Used::of(entry.kind, Source::Manual, entry.draws.clone()) });
    }

    fn line(&self, customer: CustomerId, entry: &Entry) -> Line {
        let owner = self.people.iter().position(|known| *known == customer).expect("one of them");
        let lot = |id: GrantId| self.lots.iter().position(|known| *known == id).expect("a lot that was made");
        (owner, entry.kind, entry.draws.iter().map(|draw| (lot(draw.grant), draw.amount.0)).collect())
    }

    /// Everything adds up, and is what the naive ledger says.
    fn check(&self) {
        let mut seen = 0;
        for wallet in self.books.wallets.values() {
            let row = &wallet.row;
            let out = [row.balance, row.held, row.consumed, row.expired, row.voided, row.transferred];
            assert_eq!(row.issued, out.into_iter().sum(), "{row:?}");
            let sum = |of: fn(&Grant) -> Credits| wallet.grants.iter().map(of).sum::<Credits>();
            assert_eq!((row.balance, row.held), (sum(|grant| grant.remaining), sum(|grant| grant.held)));
            for grant in &wallet.grants {
                seen += 1;
                self.check_grant(grant);
            }
        }
        assert_eq!(seen, self.naive.lots.len());
        for (number, booking) in self.naive.bookings.iter().enumerate() {
            let key = (self.people[booking.owner], TYPE);
            let held = self.books.wallets[&key].hold(self.holds[number]).expect("a hold that was placed");
            assert_eq!(held.row.status == Status::Open, booking.open);
            assert_eq!(held.row.open, booking.open);
            assert_eq!(usize::try_from(held.row.captured.0).expect("small"), booking.used);
        }
    }

    fn check_grant(&self, grant: &Grant) {
        let number = self.lots.iter().position(|id| *id == grant.id).expect("a lot that was made");
        let lot = &self.naive.lots[number];
        let credits = [grant.remaining, grant.held, grant.consumed, grant.expired, grant.voided, grant.transferred];
        assert!(credits.iter().all(|amount| *amount >= Credits::ZERO), "{grant:?}");
        assert_eq!(grant.amount, credits.into_iter().sum(), "{grant:?}");
        let places = [Place::Free, Place::Held, Place::Used, Place::Ended, Place::Voided, Place::Gone];
        let counted = places.map(|place| Credits(self.naive.count(number, place)));
        assert_eq!(credits, counted, "{grant:?}");
        assert_eq!((grant.expires_at, grant.priority, grant.effective_at), (lot.end, lot.priority, lot.from));
        let money = [
            grant.cost_left,
            grant.cost_held,
            grant.cost_consumed,
            grant.cost_expired,
            grant.cost_voided,
            grant.cost_transferred,
            grant.cost_reduced,
            grant.cost_lost,
        ];
        assert!(money.iter().all(|cost| *cost >= Minor::ZERO), "{grant:?}");
        assert_eq!(grant.cost, money.into_iter().sum(), "{grant:?}");
        for (amount, cost) in credits.into_iter().zip(money) {
            assert!(!amount.is_zero() || cost.is_zero(), "no credits, and a cost: {grant:?}");
        }
        assert_eq!(grant.open, !grant.remaining.is_zero());
        assert_eq!((grant.frozen, grant.closed), (lot.frozen, lot.voided), "{grant:?}");
        assert_eq!(grant.period, lot.period.map(|(_, number)| number), "{grant:?}");
        assert_eq!(grant.allowance, lot.cap.map(|(_, left)| Credits(left)), "{grant:?}");
        let marked = self.naive.refunded.iter().filter(|credit| credit.0 == number);
        let marked = marked.filter(|credit| lot.credits[credit.1] == Place::Ended).count();
        assert_eq!(usize::try_from(grant.expired_marked.0), Ok(marked), "{grant:?}");
    }
}

/// The kinds that a history can write, to show that none is left out.
pub const KINDS: [Kind; 17] = [
    Kind::Issue,
    Kind::Consume,
    Kind::Hold,
    Kind::Capture,
    Kind::Release,
    Kind::Lapse,
    Kind::Reverse,
    Kind::Expire,
    Kind::Void,
    Kind::Reinstate,
    Kind::Extend,
    Kind::Revive,
    Kind::TransferOut,
    Kind::TransferIn,
    Kind::Reprice,
    Kind::Freeze,
    Kind::Thaw,
];
