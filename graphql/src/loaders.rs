//! One statement for many: what resolvers ask for one by one is read a set at a time, within one snapshot.
//!
//! Nothing is kept: a cache would show a second mutation what was true before the first.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use dataloader::BatchFn;
use dataloader::non_cached::Loader;
use entity::{
    ActivityId, AutomationId, CreditTypeId, CustomerId, EnrolmentId, EventId, GrantId, HoldId, OrderId, PriceId,
    ProductId, SubscriptionId, TriggerId, WebhookEndpointId, account, activity, allocation, automation, credit_grant,
    credit_type, customer, customer_session, enrolment, event, event_trigger, fulfilment, hold, order_line, payment,
    price, product, product_order, refund, renewal, run, subscription, webhook_delivery, webhook_endpoint,
};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::batches::Batches;
use super::context::Company;
use domain::automations::steps::Step;
use domain::automations::{definitions, enrolments, runs, triggers};
use domain::catalog::{credit_types, prices, products};
use domain::customers::{self, sessions};
use domain::ground::clock::Instant;
use domain::ground::page::Slice;
use domain::ledger::balances::{self, Balance};
use domain::ledger::state::Wallet;
use domain::ledger::{activity as activities, explanation, grants, holds};
use domain::queue::events;
use domain::sales::forms::{self, Affordable};
use domain::sales::pending::{self, Pending};
use domain::sales::{orders, subscriptions};
use domain::webhooks::{deliveries, endpoints};
use domain::{Error, Result, View};

/// Keys in one batch. SQLite's statements bind one value per key, pages a few.
const BATCH: usize = 1_000;

type Found<T> = Result<Option<T>, Arc<Error>>;
/// The same on its way through the loader, which clones what it hands on.
type Shared<T> = Found<Arc<T>>;
type Fetch<K, T> = fn(Arc<View>, Vec<K>) -> BoxFuture<'static, Result<HashMap<K, T>>>;

/// Reads a set of keys with one function of the domain.
struct Batch<K, T> {
    view: Arc<View>,
    fetch: Fetch<K, T>,
}

impl<K: Clone + Eq + Hash, T> BatchFn<K, Shared<T>> for Batch<K, T> {
    async fn load(&mut self, keys: &[K]) -> HashMap<K, Shared<T>> {
        match (self.fetch)(self.view.clone(), keys.to_vec()).await {
            Ok(mut found) => keys.iter().map(|key| (key.clone(), Ok(found.remove(key).map(Arc::new)))).collect(),
            Err(error) => {
                let error = Arc::new(error);
                keys.iter().map(|key| (key.clone(), Err(error.clone()))).collect()
            }
        }
    }
}

/// Reads one kind of thing by its key, together with all that is asked for at the time.
pub struct By<K: Clone + Eq + Hash, T: Clone>(Arc<Asked<K, T>>);

struct Asked<K: Clone + Eq + Hash, T: Clone> {
    loader: Loader<K, Shared<T>, Batch<K, T>>,
    waiting: Mutex<Vec<(K, oneshot::Sender<Shared<T>>)>>,
    batches: Batches,
}

impl<K, T> By<K, T>
where
    K: Clone + Debug + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    fn new(view: &Arc<View>, batches: &Batches, fetch: Fetch<K, T>) -> Self {
        // The crate collects keys by letting others run ten times before it reads, and now and then reads a level twice.
        // Here the keys are all there, so it needs not wait: it drops double keys and keeps to the size of a batch.
        let loader = Loader::new(Batch { view: view.clone(), fetch }).with_max_batch_size(BATCH).with_yield_count(0);
        Self(Arc::new(Asked { loader, waiting: Mutex::default(), batches: batches.clone() }))
    }

    /// The thing with a key, if it is there for this caller.
    pub async fn get(&self, key: K) -> Found<T> {
        let (answer, found) = oneshot::channel();
        let first = {
            let mut waiting = self.0.waiting.lock().expect("nobody panics while asking");
            waiting.push((key, answer));
            waiting.len() == 1
        };
        if first {
            self.0.batches.add(Box::pin(read(self.0.clone())));
        }
        let found =
            found.await.unwrap_or_else(|_| Err(Arc::new(Error::Internal("a batch was not read".to_owned()))))?;
        Ok(found.map(Arc::unwrap_or_clone))
    }
}

/// Reads all that is asked for.
async fn read<K: Clone + Debug + Eq + Hash, T: Clone>(asked: Arc<Asked<K, T>>) {
    let waiting = std::mem::take(&mut *asked.waiting.lock().expect("nobody panics while asking"));
    let keys = waiting.iter().map(|(key, _)| key.clone()).collect();
    let found = asked.loader.load_many(keys).await;
    for (key, answer) in waiting {
        // Who no longer waits is told nothing.
        drop(answer.send(found.get(&key).cloned().unwrap_or(Ok(None))));
    }
}

/// A snapshot and the loaders that read from it.
pub struct Reads {
    view: Arc<View>,
    company: Arc<Company>,
    pub customers: By<CustomerId, customer::Model>,
    pub tags: By<CustomerId, Vec<String>>,
    pub credit_types: By<CreditTypeId, credit_type::Model>,
    pub grants: By<GrantId, credit_grant::Model>,
    pub grant_pages: By<grants::Wanted, Slice<credit_grant::Model>>,
    pub wallets: By<CustomerId, Vec<Wallet>>,
    pub whole_wallets: By<CustomerId, Vec<Wallet>>,
    pub holds: By<HoldId, hold::Model>,
    pub hold_pages: By<holds::Wanted, Slice<hold::Model>>,
    pub activities: By<ActivityId, activity::Model>,
    pub activity_pages: By<activities::Wanted, Slice<activity::Model>>,
    pub allocations: By<ActivityId, Vec<allocation::Model>>,
    pub reversals: By<ActivityId, Vec<activity::Model>>,
    pub touched: By<Touched, Vec<allocation::Model>>,
    pub products: By<ProductId, product::Model>,
    pub prices: By<PriceId, price::Model>,
    /// Of a product: those on sale, or (true) all of them.
    pub product_prices: By<(ProductId, bool), Vec<price::Model>>,
    pub orders: By<OrderId, product_order::Model>,
    pub order_pages: By<orders::Wish, Slice<product_order::Model>>,
    pub order_lines: By<OrderId, Vec<order_line::Model>>,
    pub fulfilments: By<OrderId, Vec<fulfilment::Model>>,
    pub payments: By<OrderId, Vec<payment::Model>>,
    pub refunds: By<OrderId, Vec<refund::Model>>,
    pub subscriptions: By<SubscriptionId, subscription::Model>,
    pub subscription_pages: By<subscriptions::Wish, Slice<subscription::Model>>,
    pub renewal_pages: By<subscriptions::PeriodWish, Slice<renewal::Model>>,
    pub affordable: By<CustomerId, Vec<Affordable>>,
    pub pending: By<CustomerId, Vec<Pending>>,
    pub events: By<EventId, event::Model>,
    pub triggers: By<TriggerId, event_trigger::Model>,
    pub automations: By<AutomationId, automation::Model>,
    pub steps: By<(AutomationId, i32), Vec<Step>>,
    pub enrolments: By<EnrolmentId, enrolment::Model>,
    pub enrolment_pages: By<enrolments::Wish, Slice<enrolment::Model>>,
    pub run_pages: By<runs::Wish, Slice<run::Model>>,
    pub delivery_pages: By<deliveries::Wish, Slice<webhook_delivery::Model>>,
    pub steps_taken: By<EnrolmentId, Vec<run::Model>>,
    pub endpoints: By<WebhookEndpointId, webhook_endpoint::Model>,
    pub session_pages: By<sessions::Wanted, Slice<customer_session::Model>>,
}

/// The newest records of a grant until an instant, at most so many.
pub type Touched = (GrantId, Instant, u64);

impl Reads {
    /// The loaders of a snapshot.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a line or three for each kind of thing")]
    pub fn new(view: View, batches: &Batches, company: &Arc<Company>) -> Self {
        let view = Arc::new(view);
        Self {
            customers: By::new(&view, batches, |view, ids| {
                Box::pin(async move { customers::by_ids(&view, &ids).await })
            }),
            tags: By::new(&view, batches, |view, ids| Box::pin(async move { customers::tags(&view, &ids).await })),
            credit_types: By::new(&view, batches, |view, ids| {
                Box::pin(async move { credit_types::of_rows_in_hand(&view, &ids).await })
            }),
            grants: By::new(&view, batches, |view, ids| Box::pin(async move { grants::by_ids(&view, &ids).await })),
            grant_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move { Ok(wanted.iter().cloned().zip(grants::pages(&view, &wanted).await?).collect()) })
            }),
            wallets: By::new(&view, batches, |view, ids| Box::pin(async move { balances::wallets(&view, &ids).await })),
            whole_wallets: By::new(&view, batches, |view, ids| {
                Box::pin(async move { balances::whole_wallets(&view, &ids).await })
            }),
            holds: By::new(&view, batches, |view, ids| Box::pin(async move { holds::by_ids(&view, &ids).await })),
            hold_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move { Ok(wanted.iter().cloned().zip(holds::pages(&view, &wanted).await?).collect()) })
            }),
            activities: By::new(&view, batches, |view, ids| {
                Box::pin(async move { activities::by_ids(&view, &ids).await })
            }),
            activity_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(
                    async move { Ok(wanted.iter().cloned().zip(activities::pages(&view, &wanted).await?).collect()) },
                )
            }),
            allocations: By::new(&view, batches, |view, ids| {
                Box::pin(async move { activities::allocations(&view, &ids).await })
            }),
            reversals: By::new(&view, batches, |view, ids| {
                Box::pin(async move { activities::reversals(&view, &ids).await })
            }),
            touched: By::new(&view, batches, |view, wanted| {
                Box::pin(async move {
                    Ok(wanted.iter().copied().zip(explanation::touched(&view, &wanted).await?).collect())
                })
            }),
            products: By::new(&view, batches, |view, ids| {
                Box::pin(async move { products::of_rows_in_hand(&view, &ids).await })
            }),
            prices: By::new(&view, batches, |view, ids| {
                Box::pin(async move { prices::of_rows_in_hand(&view, &ids).await })
            }),
            product_prices: By::new(&view, batches, |view, ids| {
                Box::pin(async move { prices::of_products(&view, &ids).await })
            }),
            orders: By::new(&view, batches, |view, ids| Box::pin(async move { orders::by_ids(&view, &ids).await })),
            order_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move { Ok(wanted.iter().cloned().zip(orders::pages(&view, &wanted).await?).collect()) })
            }),
            order_lines: By::new(&view, batches, |view, ids| Box::pin(async move { orders::lines(&view, &ids).await })),
            fulfilments: By::new(&view, batches, |view, ids| Box::pin(async move { orders::given(&view, &ids).await })),
            payments: By::new(&view, batches, |view, ids| {
                Box::pin(async move { orders::payments_of(&view, &ids).await })
            }),
            refunds: By::new(&view, batches, |view, ids| {
                Box::pin(async move { orders::refunds_of(&view, &ids).await })
            }),
            subscriptions: By::new(&view, batches, |view, ids| {
                Box::pin(async move { subscriptions::by_ids(&view, &ids).await })
            }),
            subscription_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move {
                    Ok(wanted.iter().cloned().zip(subscriptions::pages(&view, &wanted).await?).collect())
                })
            }),
            renewal_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move {
                    Ok(wanted.iter().cloned().zip(subscriptions::renewal_pages(&view, &wanted).await?).collect())
                })
            }),
            pending: By::new(&view, batches, |view, ids| {
                Box::pin(async move { pending::of_customers(&view, &ids).await })
            }),
            events: By::new(&view, batches, |view, ids| Box::pin(async move { events::by_ids(&view, &ids).await })),
            triggers: By::new(&view, batches, |view, ids| Box::pin(async move { triggers::by_ids(&view, &ids).await })),
            automations: By::new(&view, batches, |view, ids| {
                Box::pin(async move { definitions::by_ids(&view, &ids).await })
            }),
            steps: By::new(&view, batches, |view, ids| {
                Box::pin(async move { definitions::versions(&view, &ids).await })
            }),
            enrolments: By::new(&view, batches, |view, ids| {
                Box::pin(async move { enrolments::by_ids(&view, &ids).await })
            }),
            enrolment_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(
                    async move { Ok(wanted.iter().cloned().zip(enrolments::pages(&view, &wanted).await?).collect()) },
                )
            }),
            run_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(async move { Ok(wanted.iter().cloned().zip(runs::pages(&view, &wanted).await?).collect()) })
            }),
            delivery_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(
                    async move { Ok(wanted.iter().cloned().zip(deliveries::pages(&view, &wanted).await?).collect()) },
                )
            }),
            steps_taken: By::new(&view, batches, |view, ids| {
                Box::pin(async move { runs::of_enrolments(&view, &ids).await })
            }),
            endpoints: By::new(&view, batches, |view, ids| {
                Box::pin(async move { endpoints::by_ids(&view, &ids).await })
            }),
            session_pages: By::new(&view, batches, |view, wanted| {
                Box::pin(
                    async move { Ok(wanted.iter().cloned().zip(sessions::pages(&view, &wanted).await?).collect()) },
                )
            }),
            affordable: By::new(&view, batches, |view, ids| {
                Box::pin(async move { forms::affordable(&view, &ids).await })
            }),
            view,
            company: company.clone(),
        }
    }

    /// The snapshot itself, for what is read for one query alone; refused to a query in company.
    pub fn alone(&self) -> Result<&Arc<View>> {
        self.company.leave()?;
        Ok(&self.view)
    }

    /// The same, for what may read much: it waits for its turn.
    pub async fn at_length(&self) -> Result<&Arc<View>> {
        self.company.leave_for_long()?;
        self.view.lengthen().await.inspect_err(|error| {
            if matches!(error, Error::Conflict(_)) {
                self.company.turn_away();
            }
        })?;
        Ok(&self.view)
    }

    /// The account.
    pub fn account(&self) -> &account::Model {
        self.view.account()
    }

    /// The account's time when the snapshot was taken.
    pub fn now(&self) -> Instant {
        self.view.now()
    }

    /// The balances of a customer, as they are at the snapshot's instant.
    pub async fn balances(&self, customer: CustomerId) -> Result<Vec<Balance>, Arc<Error>> {
        let wallets = self.wallets.get(customer).await?.unwrap_or_default();
        Ok(wallets.into_iter().map(|wallet| balances::balance(wallet, self.view.now())).collect())
    }
}
