//! A customer's credits as they change: what is new since it was last read, whenever there may be something new.
//!
//! A hint wakes it; so does the next instant at which time alone changes a balance; and where neither comes, it looks by
//! itself now and then. What it answers is read, so that a hint that was lost costs time and nothing else. Hints that
//! come while it is not asked are one hint: who reads slowly is told what there is by then.

use std::collections::HashMap;
use std::time::Duration;

use entity::{CreditTypeId, CustomerId, activity};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::customers;
use crate::ground::clock::{Instant, fresh_salt};
use crate::ground::error::{Refusal, Result};
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::balances::{self, Balance};
use crate::ledger::state::Wallet;
use crate::storage::tx::View;

/// After so long without a hint it looks by itself; by chance up to half as long again.
const LOOK: Duration = Duration::from_secs(30);
/// Activities that are read at once.
const PAGE: u64 = 100;

/// What is new.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The balances that changed.
    pub balances: Vec<Balance>,
    /// The activities that were added, oldest first within each credit type.
    pub activities: Vec<activity::Model>,
}

/// Follows one customer's credits.
pub struct Changes {
    caller: Caller,
    customer: CustomerId,
    hints: watch::Receiver<u64>,
    /// What was last told of each type: the number of the newest activity, and the balance.
    told: HashMap<CreditTypeId, (i64, Balance)>,
    /// When time alone changes something.
    due: Option<Instant>,
    /// There may be more to read already.
    more: bool,
    /// Nothing was shown when it was last looked: credits are switched off.
    hidden: bool,
    ended: CancellationToken,
}

impl Changes {
    /// Begins with what there is now, which counts as told. Refuses a customer that this caller cannot see.
    pub async fn begin(
        caller: &Caller,
        customer: CustomerId,
        ended: CancellationToken,
    ) -> Result<(Self, Vec<Balance>)> {
        let account = caller.authorise(Scope::OwnRead)?;
        // First this, so that nothing falls in between.
        let hints = caller.app().hub().watch((account, customer));
        let view = caller.view(Scope::OwnRead).await?;
        if !customers::by_ids(&view, &[customer]).await?.contains_key(&customer) {
            return Err(Refusal::not_found("customerId", "customer").into());
        }
        let told = HashMap::new();
        let mut changes =
            Self { caller: caller.clone(), customer, hints, told, due: None, more: false, hidden: false, ended };
        changes.hidden = !view.is_staff() && !view.account().credits_enabled;
        let wallets = balances::wallets(&view, &[customer]).await?.remove(&customer).unwrap_or_default();
        let balances = wallets.into_iter().map(|wallet| changes.tell(wallet, &view)).collect();
        Ok((changes, balances))
    }

    /// Waits for something new; none once it was ended.
    pub async fn next(mut self) -> Option<(Result<News>, Self)> {
        loop {
            if !self.more {
                let wait = self.wait();
                tokio::select! {
                    () = self.ended.cancelled() => return None,
                    _ = self.hints.changed() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
            if self.ended.is_cancelled() {
                return None;
            }
            self.hints.mark_unchanged();
            // In a task of its own: a read that is cut off would leave its snapshot open in the pool.
            let read = tokio::spawn(async move {
                let news = self.read().await;
                (news, self)
            });
            let news;
            (news, self) = match read.await {
                Ok(read) => read,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            match news {
                Ok(news) if news.balances.is_empty() && news.activities.is_empty() => {}
                // What passes, passes: it looks again.
                Err(error) if error.passes() => {
                    self.more = true;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                news => return Some((news, self)),
            }
        }
    }

    fn wait(&self) -> Duration {
        let random = u32::from(fresh_salt()[0]);
        let look = LOOK + LOOK * random / 512;
        let clock = self.caller.app().store().clock.now();
        let due = self.due.map(|due| (due - clock).to_std().unwrap_or_default());
        due.map_or(look, |due| look.min(due + Duration::from_millis(1)))
    }

    /// What is new, which then counts as told.
    async fn read(&mut self) -> Result<News> {
        let view = self.caller.view(Scope::OwnRead).await?;
        let wallets = balances::wallets(&view, &[self.customer]).await?.remove(&self.customer).unwrap_or_default();
        let mut news = News::default();
        (self.due, self.more) = (None, false);
        // What happened while nothing was shown counts as told.
        let was_hidden = std::mem::replace(&mut self.hidden, !view.is_staff() && !view.account().credits_enabled);
        for wallet in wallets {
            let credit_type = wallet.row.credit_type_id;
            let before = self.told.get(&credit_type).map(|(sequence, balance)| (*sequence, balance.clone()));
            let seen = before.as_ref().map_or(0, |(sequence, _)| *sequence);
            let mut newest = seen;
            if was_hidden {
                newest = wallet.row.sequence;
            } else if wallet.row.sequence > seen {
                let added = self.added(&view, credit_type, seen).await?;
                newest = added.last().map_or(seen, |last| last.sequence);
                self.more |= newest < wallet.row.sequence;
                news.activities.extend(added);
            }
            let balance = self.tell(wallet, &view);
            self.told.insert(credit_type, (newest, balance.clone()));
            if before.is_none_or(|(_, before)| differs(&before, &balance)) {
                news.balances.push(balance);
            }
        }
        Ok(news)
    }

    async fn added(&self, view: &View, credit_type: CreditTypeId, seen: i64) -> Result<Vec<activity::Model>> {
        use activity::Column;
        let added = view
            .customer_rows::<activity::Entity>()
            .filter(Column::CustomerId.eq(self.customer))
            .filter(Column::CreditTypeId.eq(credit_type))
            .filter(Column::Sequence.gt(seen))
            .order_by_asc(Column::Sequence)
            .limit(PAGE);
        Ok(added.all(view.db()).await?)
    }

    /// Remembers a wallet as told.
    fn tell(&mut self, wallet: Wallet, view: &View) -> Balance {
        let (credit_type, sequence, now) = (wallet.row.credit_type_id, wallet.row.sequence, view.now());
        let begins = wallet.grants.iter().map(|grant| grant.effective_at);
        let changes = begins.chain(wallet.next_due()).chain(wallet.rest.ends_from).filter(|at| *at > now);
        self.due = changes.chain(self.due).min();
        let balance = balances::balance(wallet, now);
        self.told.insert(credit_type, (sequence, balance.clone()));
        balance
    }
}

/// Whether two balances are more than the same at different instants.
fn differs(before: &Balance, now: &Balance) -> bool {
    Balance { as_of: now.as_of, ..before.clone() } != *now
}
