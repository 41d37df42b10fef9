//! The heart of Scrip: what a ledger of prepaid credits decides, with no database, no clock and no network.
//!
//! A business sells credits in advance, and each delivered service uses one. This crate knows what follows: which credits are
//! used first, when they end, what is set aside, what comes back, what it all had cost, and how it is proved that nobody has
//! altered what was written. It is a library of plain functions over plain values. Instants, ids and keys are arguments; who
//! calls keeps what comes out. Scrip's server keeps it in tables; [`memory::Memory`] keeps it in memory, which is what this
//! book uses.
//!
//! # What there is
//!
//! A *grant* ([`Grant`]) is one lot of credits of one type that one customer got at once: so many, with an end or without, at
//! what was paid for them. A *wallet* ([`state::Wallet`]) is all that one customer has of one type. Whatever happens to a wallet
//! is one *activity* ([`Activity`]): a record that is never changed, numbered without a gap, whose *allocations*
//! ([`Allocation`]) say how much of it fell on which grant. A balance is what the records add up to, and nothing else.
//!
//! Credits are whole numbers ([`Credits`]); money is a whole number of the currency's smallest unit ([`Minor`]).
//!
//! ```
//! use ledger::chain::ChainKey;
//! use ledger::command::{Command, Consume, Issue, Words};
//! use ledger::memory::{Memory, counted};
//! use ledger::*;
//! use uuid::Uuid;
//!
//! let ada = CustomerId(Uuid::from_u128(1));
//! let class = CreditTypeId(Uuid::from_u128(2));
//! let account = Account::of(AccountId(Uuid::from_u128(3)), "Europe/Zurich", "CHF");
//! let mut ledger = Memory::new(account, ChainKey::new(b"32 random bytes, kept elsewhere"), counted());
//! // Its credits end a month after their issue.
//! let month = Expiration::After { count: 1, unit: PeriodUnit::Month, from: Anchor::Issue };
//! ledger.add_credit_type(CreditType::of(class, month));
//! ledger.add_customer(ada);
//! let at = |text: &str| text.parse().expect("an instant");
//!
//! ledger.run(Command::Issue(Issue::of(ada, class, Credits(10))), at("2026-01-31T09:00:00Z")).unwrap();
//! let one = Consume { customer: ada, credit_type: class, amount: Credits(1), words: Words::default() };
//! ledger.run(Command::Consume(one), at("2026-02-02T17:00:00Z")).unwrap();
//! assert_eq!(ledger.available(ada, class, at("2026-02-03T00:00:00Z")), Credits(9));
//!
//! // A month after 31 January is the last day of February, which can be used whole: in Zurich, until 23:00 UTC.
//! assert_eq!(ledger.available(ada, class, at("2026-02-28T22:59:59Z")), Credits(9));
//! assert_eq!(ledger.available(ada, class, at("2026-02-28T23:00:00Z")), Credits(0));
//! ```
//!
//! # Time does its part by itself
//!
//! Nothing has to run for credits to end: a wallet is *settled* ([`state::Wallet::settle`]) up to an instant before anything is
//! decided, and each thing that time did is a record dated when it happened. A *hold* sets credits aside; while they are set
//! aside they do not end, and when they come back to a grant that has ended meanwhile, they end in the same instant.
//!
//! ```
//! # use ledger::chain::ChainKey;
//! # use ledger::command::{Command, Issue, Place, Words};
//! # use ledger::memory::{Memory, counted};
//! # use ledger::activity::Kind;
//! # use ledger::*;
//! # use uuid::Uuid;
//! # let ada = CustomerId(Uuid::from_u128(1));
//! # let class = CreditTypeId(Uuid::from_u128(2));
//! # let account = Account::of(AccountId(Uuid::from_u128(3)), "UTC", "CHF");
//! # let mut ledger = Memory::new(account, ChainKey::new(b"32 random bytes, kept elsewhere"), counted());
//! # let month = Expiration::After { count: 1, unit: PeriodUnit::Month, from: Anchor::Issue };
//! # ledger.add_credit_type(CreditType::of(class, month));
//! # ledger.add_customer(ada);
//! # let at = |text: &str| text.parse().expect("an instant");
//! ledger.run(Command::Issue(Issue::of(ada, class, Credits(2))), at("2026-01-10T09:00:00Z")).unwrap();
//! // One is set aside for a class in March; both end on 11 February.
//! let place = Place {
//!     customer: ada,
//!     credit_type: class,
//!     amount: Credits(1),
//!     expires_at: at("2026-03-01T00:00:00Z"),
//!     words: Words::default(),
//! };
//! ledger.run(Command::Place(place), at("2026-01-20T09:00:00Z")).unwrap();
//! let wallet = ledger.wallet(ada, class).unwrap();
//!
//! let mut february = wallet.clone();
//! let kinds = february.settle(at("2026-02-15T00:00:00Z")).iter().map(|entry| entry.kind).collect::<Vec<_>>();
//! assert_eq!(kinds, [Kind::Expire]);
//! assert_eq!((february.row.balance, february.row.held), (Credits(0), Credits(1)));
//!
//! // Nobody came: the hold lapses, and what it gives back ends with that.
//! let kinds = february.settle(at("2026-03-02T00:00:00Z")).iter().map(|entry| entry.kind).collect::<Vec<_>>();
//! assert_eq!(kinds, [Kind::Lapse, Kind::Expire]);
//! assert_eq!(february.row.expired, Credits(2));
//! ```
//!
//! # What people decide
//!
//! A [`command::Command`] is plain data. [`decide::decide`] answers the entries that follow, or a [`refusal::Refusal`] that says
//! what is wrong and what can be done; nothing has changed then but what time did. What leaves one customer for another keeps its
//! end and its cost; what comes back goes to the grants that it came from, last taken first.
//!
//! ```
//! # use ledger::chain::ChainKey;
//! # use ledger::command::{Command, Consume, Issue, OnExpired, Reverse, Transfer, Words};
//! # use ledger::memory::{Memory, counted};
//! # use ledger::refusal::Refusal;
//! # use ledger::*;
//! # use uuid::Uuid;
//! # let (ada, ben) = (CustomerId(Uuid::from_u128(1)), CustomerId(Uuid::from_u128(3)));
//! # let class = CreditTypeId(Uuid::from_u128(2));
//! # let account = Account::of(AccountId(Uuid::from_u128(4)), "UTC", "CHF");
//! # let mut ledger = Memory::new(account, ChainKey::new(b"32 random bytes, kept elsewhere"), counted());
//! # ledger.add_credit_type(CreditType::of(class, Expiration::Never));
//! # ledger.add_customer(ada);
//! # ledger.add_customer(ben);
//! # let now = "2026-01-10T09:00:00Z".parse().expect("an instant");
//! ledger.run(Command::Issue(Issue::of(ada, class, Credits(5))), now).unwrap();
//! let gift = Transfer { from: ada, to: ben, credit_type: class, amount: Credits(2), words: Words::default() };
//! ledger.run(Command::Transfer(gift), now).unwrap();
//!
//! let three = Consume { customer: ben, credit_type: class, amount: Credits(3), words: Words::default() };
//! let refused = ledger.run(Command::Consume(three), now).unwrap_err();
//! assert!(matches!(refused, Refusal::InsufficientCredits { available: Credits(2), .. }));
//! assert_eq!(refused.message(), "3 requested, 2 available. Nothing was used.");
//!
//! let two = Consume { customer: ben, credit_type: class, amount: Credits(2), words: Words::default() };
//! let used = ledger.run(Command::Consume(two), now).unwrap()[0].id;
//! let back = Reverse {
//!     activity: used,
//!     customer: ben,
//!     credit_type: class,
//!     amount: Some(Credits(1)),
//!     on_expired: OnExpired::Forfeit,
//!     reason: "Only one class took place".to_owned(),
//!     words: Words::default(),
//! };
//! ledger.run(Command::Reverse(back), now).unwrap();
//! assert_eq!(ledger.available(ben, class, now), Credits(1));
//!
//! // Every record carries a keyed hash over itself and the one before it in its wallet ([`chain`]): walked from the first to
//! // the last ([`replay`]), they say what every grant and every sum must be.
//! assert_eq!(ledger.verify(), Vec::<String>::new());
//! let altered = ledger.verify_by(|(activity, allocations)| {
//!     let mut activity = activity.clone();
//!     activity.actor = "somebody else".to_owned();
//!     (activity, allocations.clone())
//! });
//! assert!(altered[0].contains("was altered"), "{altered:?}");
//! ```
//!
//! # Where to read on
//!
//! [`command`] has everything that can be asked, and [`decide`] what follows, one verb a file. [`settle`] is what time does,
//! [`draw`] the order in which credits are used, [`expiration`] the calendar, [`movement`] from where to where credits and cost
//! go, [`caps`] what rolls over, [`watch`] what people are told of. [`books`] puts it together for the wallets of many commands.
//! [`input`] has the limits of what people type, [`fault`] the rules that tests break on purpose.

pub mod activity;
pub mod allocation;
pub mod books;
pub mod caps;
pub mod cause;
pub mod chain;
pub mod command;
pub mod decide;
pub mod draw;
pub mod expiration;
pub mod fault;
pub mod grant;
pub mod hold;
mod ids;
pub mod input;
pub mod memory;
pub mod movement;
mod policy;
pub mod record;
pub mod refusal;
pub mod replay;
pub mod selling;
pub mod settle;
pub mod state;
pub mod status;
pub mod terms;
pub mod time;
pub mod totals;
mod units;
pub mod watch;
mod words;

pub use activity::Activity;
pub use allocation::Allocation;
pub use grant::Grant;
pub use hold::Hold;
pub use ids::{
    AccessEntryId, AccountId, ActivityId, ApiKeyId, AutomationId, BulkOperationId, CreditTypeId, CustomerId,
    CustomerSessionId, EnrolmentId, EventId, GrantId, HoldId, JobId, MalformedId, OrderId, PaymentId, PriceId,
    ProductId, RefundId, RunId, SubscriptionId, TriggerId, WebhookDeliveryId, WebhookEndpointId, is_id,
};
pub use policy::{Anchor, Expiration, ExpirationKind, PeriodUnit};
pub use terms::{Account, CreditType};
pub use totals::Totals;
pub use units::{Credits, Minor};
