//! What can be watched: a customer's credits as they change.

use async_graphql::{Context, ID, Result, Subscription};
use futures_util::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::balances::Balance;
use super::context::Ask;
use super::payload::id;
use domain::Error;
use domain::credits::changes::{Changes, News};

/// What ends a stream, put into its request by the door.
pub struct Ended(pub CancellationToken);

/// The root of subscriptions.
pub struct Live;

/// What can be watched with a GraphQL subscription, over `graphql-transport-ws` or Server-Sent Events. For staff, and for the customer whose credits
/// they are.
#[Subscription]
impl Live {
    /// A customer's balances: each as it is at the beginning, then each whenever it changes, whoever or whatever changes
    /// it, time included. Several changes in a row may be told as one.
    async fn balance_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose balances.")] customer_id: ID,
    ) -> Result<impl Stream<Item = Result<Balance>>> {
        let (changes, balances) = begin(ctx, &customer_id).await?;
        let now = stream::iter(balances.into_iter().map(|balance| Ok(Balance(balance))));
        let then = news(changes).flat_map(|news| {
            let items = match news {
                Ok(news) => news.balances.into_iter().map(|balance| Ok(Balance(balance))).collect(),
                Err(error) => vec![Err(error.into())],
            };
            stream::iter(items)
        });
        Ok(now.chain(then))
    }

    /// What is added to a customer's activity from now on: each record once, in order within its credit type.
    async fn activity_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose activity.")] customer_id: ID,
    ) -> Result<impl Stream<Item = Result<Activity>>> {
        let (changes, _) = begin(ctx, &customer_id).await?;
        Ok(news(changes).flat_map(|news| {
            let items = match news {
                Ok(news) => news.activities.into_iter().map(|row| Ok(Activity::of(row))).collect(),
                Err(error) => vec![Err(error.into())],
            };
            stream::iter(items)
        }))
    }
}

async fn begin(ctx: &Context<'_>, customer: &ID) -> Result<(Changes, Vec<domain::ledger::balances::Balance>), Error> {
    let ended = ctx.data_opt::<Ended>().map(|ended| ended.0.clone());
    let ended = ended.ok_or_else(|| Error::Internal("a stream that nothing ends".to_owned()))?;
    let customer = id("customerId", "customer", customer).map_err(Error::from)?;
    let caller = ctx.caller()?.clone();
    // In a task of its own: who hangs up cancels no read half-way.
    tokio::spawn(async move { Changes::begin(&caller, customer, ended).await }).await?
}

fn news(changes: Changes) -> impl Stream<Item = Result<News, Error>> {
    stream::unfold(changes, Changes::next)
}
