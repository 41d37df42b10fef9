//! What each kind of job does. The worker runs these for live accounts, a sandbox's test clock for its own.

use entity::job::{Kind, Model};

use super::purge;
use crate::automations::{runs, walk};
use crate::bulk;
use crate::catalog::revisit;
use crate::dispatch::follow;
use crate::ground::error::{Error, Result};
use crate::identity::app::App;
use crate::ledger::{self, Command, Settle};
use crate::queue::jobs::{After, read_wallet_key};
use crate::sales;
use crate::webhooks::deliveries;

/// Does a job, in a task of its own: a panic in one is an error of that one, and nobody's hanging up cancels it.
pub async fn perform(app: &App, job: impl Into<Model>) -> Result<After> {
    let (app, job) = (app.clone(), job.into());
    tokio::spawn(async move { run(&app, &job).await }).await?
}

async fn run(app: &App, job: &Model) -> Result<After> {
    match job.kind {
        Kind::Settle => {
            let Some((customer, credit_type)) = read_wallet_key(&job.key) else {
                return Err(Error::Internal(format!("the key of {} names no wallet", job.id)));
            };
            let settle = Command::Settle(Settle { customer, credit_type });
            let settle = ledger::post::Job::by_itself(job.account_id, settle);
            match app.lanes().submit(settle).await {
                Ok(_) => Ok(After::Said),
                // What is gone needs no settling.
                Err(Error::Refused(_)) => Ok(After::Done),
                Err(error) => Err(error),
            }
        }
        Kind::Act => runs::act(app, job).await,
        Kind::Deliver => deliveries::step(app, job).await,
        Kind::Follow => follow::step(app, job).await,
        Kind::Purge => purge::step(app, job).await,
        Kind::Revisit => revisit::step(app, job).await,
        Kind::Walk => walk::step(app, job).await,
        Kind::Bulk => bulk::step(app, job).await,
        Kind::Collect => sales::collect::step(app, job).await,
        Kind::Renew => sales::renewals::step(app, job).await,
        Kind::Clock => Ok(After::Said),
    }
}
