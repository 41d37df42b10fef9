//! Selling: how customers come by credits, and how they spend them on products.
//!
//! * [`forms`]: what is on sale behind a link, and what a quantity would cost.
//! * [`place`]: placing orders; [`orders`]: cancelling and reading them; [`receipts`]: what a stranger sees of its own.
//! * [`payments`]: an order is paid, and gives what it is to give, in one transaction, once.
//! * [`disputes`]: a payer says that a payment was not so.
//! * [`refunds`]: what is unused goes back.
//! * [`sale`]: an order with all that hangs on it, on which every verb decides.
//! * [`subscriptions`], [`renewals`]: orders that renew; each period once, by a job that anybody may run.
//! * [`verbs`]: what staff or a customer does with a subscription; [`change`]: another plan, now.
//! * [`anew`]: periods that wait for their payment, after a pause or with another plan.
//! * [`unpaid`]: periods that nobody has paid, collected again or given up.
//! * [`unfulfilled`]: what an order could not give when it was paid, given later.
//! * [`strangers`]: what strangers ordered and nobody has paid, bounded.
//! * [`pending`]: what was ordered and has not become credits, and why.
//! * [`collect`]: what a payment provider is asked, and what it says; the trait is [`crate::storage::ports::payments`].
//!
//! Pure: [`basket`]'s pricing, [`period`], [`sale::refund`]. [`fulfil`] asks the ledger for credits, [`sale::taken`] takes
//! them back; nobody else.
//!
//! Lock order: a customer who orders, a subscription, then orders and payments, then what the ledger locks (wallets first), and last the
//! account's order counter, before keys. No lock of selling is waited for by the ledger, which knows of none.

mod anew;
pub mod basket;
mod change;
pub mod collect;
pub mod disputes;
mod earlier;
pub mod forms;
pub mod fulfil;
pub mod orders;
pub mod payments;
pub mod pending;
pub mod period;
pub mod place;
pub mod receipts;
pub mod refunds;
pub mod renewals;
pub mod sale;
pub(crate) mod strangers;
pub mod subscriptions;
pub mod unfulfilled;
mod unpaid;
pub mod verbs;
