//! Taking the steps of an enrolment: each in a transaction of its own, together with the row that says that it was taken
//! and with where the walk stands then. Whoever comes second finds it further on.

use entity::enrolment::{Column, Entity, Model, Status};
use entity::{Credits, CustomerId, EnrolmentId, customer_tag, job};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set,
};
use serde_json::{Value, json};

use super::actions::{Action, Because};
use super::conditions::Match;
use super::definitions::steps_of;
use super::runs::{Taken, author, write_step};
use super::steps::{Branch, Does, Question, Step, WhenRefused, place};
use crate::ground::cause::Cause;
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::refusal::flow::Flow;
use crate::identity::app::App;
use crate::ledger::expiration::zone_of;
use crate::ledger::load::{self, Purpose};
use crate::ledger::state::WalletKey;
use crate::ledger::{self, Command, Settle};
use crate::queue::events::Fact;
use crate::queue::jobs::{self, After};
use crate::storage::tx::Tx;
use crate::webhooks::deliveries;
use crate::webhooks::endpoints;

/// Takes steps until the walk waits, or is over.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    let id = of_job(job)?;
    // Every walk leads forward: it ends after at most all of its steps.
    while one(app, job, id).await? == Next::Step {}
    Ok(After::Said)
}

fn of_job(job: &job::Model) -> Result<EnrolmentId> {
    job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no enrolment", job.id)))
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Step,
    Rest,
}

/// What a step came to.
struct Came {
    activity: Option<entity::ActivityId>,
    refusal: Option<Refusal>,
    detail: Value,
    /// Which step comes next, if the walk goes on.
    to: Option<usize>,
    wake_at: Option<Instant>,
}

/// Takes one step.
async fn one(app: &App, job: &job::Model, id: EnrolmentId) -> Result<Next> {
    let mut refused: Option<(i32, Refusal)> = None;
    loop {
        let tx = Tx::open(app.store(), job.account_id).await?;
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let Some(enrolment) = found.filter(|enrolment| enrolment.status == Status::Running) else {
            return rest(tx, id, None).await;
        };
        let tx = tx.because(Cause { depth: enrolment.depth, origin: enrolment.origin_id });
        // Woken too early, where its job was moved: it goes on waiting.
        if let Some(wake_at) = enrolment.wake_at.filter(|at| *at > tx.now) {
            return rest(tx, id, Some(wake_at)).await;
        }
        let steps = steps_of(&tx, enrolment.automation_id, enrolment.version).await?;
        let at = usize::try_from(enrolment.step).unwrap_or(usize::MAX);
        let Some(step) = steps.get(at) else {
            finish(&tx, enrolment).await?;
            return rest(tx, id, None).await;
        };
        // Of this very step: somebody may have taken it meanwhile.
        let refusal = refused.take().filter(|(position, _)| *position == enrolment.position);
        let came = match refusal {
            None => match take(app, &tx, &enrolment, &steps, at).await {
                // What the step did until then is undone, and the refusal written instead.
                Err(Error::Refused(refusal)) => {
                    refused = Some((enrolment.position, refusal));
                    continue;
                }
                came => came?,
            },
            Some((_, refusal)) => {
                let to = (step.when_refused == WhenRefused::Continue).then_some(at + 1);
                Came { activity: None, refusal: Some(refusal), detail: json!({}), to, wake_at: None }
            }
        };
        return go_on(tx, enrolment, step, came).await;
    }
}

/// Writes down a step and where the walk stands then.
async fn go_on(tx: Tx, enrolment: Model, step: &Step, came: Came) -> Result<Next> {
    let id = enrolment.id;
    let (activity, refusal, detail) = (came.activity, came.refusal.as_ref(), came.detail);
    write_step(&tx, Taken { enrolment: &enrolment, step, activity, refusal, detail }).await?;
    let position = enrolment.position + 1;
    let stopped = came.to.is_none();
    let mut walked = enrolment.into_active_model();
    walked.position = Set(position);
    walked.wake_at = Set(came.wake_at);
    if let Some(to) = came.to {
        walked.step = Set(i32::try_from(to).unwrap_or(i32::MAX));
    }
    if stopped {
        walked.reason = Set(came.refusal.map(|refusal| refusal.message()));
    }
    let walked = walked.update(tx.db()).await?;
    if stopped {
        finish(&tx, walked).await?;
        return rest(tx, id, None).await;
    }
    if let Some(at) = came.wake_at.filter(|at| *at > tx.now) {
        return rest(tx, id, Some(at)).await;
    }
    tx.commit().await?;
    Ok(Next::Step)
}

async fn finish(tx: &Tx, enrolment: Model) -> Result<()> {
    let mut done = enrolment.into_active_model();
    (done.status, done.active, done.wake_at, done.ended_at) =
        (Set(Status::Done), Set(false), Set(None), Set(Some(tx.now)));
    done.update(tx.db()).await?;
    Ok(())
}

/// Nothing more is to be done now; perhaps later.
async fn rest(tx: Tx, id: EnrolmentId, until: Option<Instant>) -> Result<Next> {
    jobs::reschedule(tx.db(), &tx.account, job::Kind::Walk, vec![(id.to_string(), until)]).await?;
    tx.commit().await?;
    Ok(Next::Rest)
}

/// Takes a step within an open transaction.
async fn take(app: &App, tx: &Tx, enrolment: &Model, steps: &[Step], at: usize) -> Result<Came> {
    let step = &steps[at];
    let mut came = Came { activity: None, refusal: None, detail: json!({}), to: Some(at + 1), wake_at: None };
    match &step.does {
        Does::Act(action) => (came.activity, came.detail) = act(app, tx, enrolment, action).await?,
        Does::Wait { .. } | Does::WaitUntil(_) => {
            let until = step.does.waits_until(tx.now, zone_of(&tx.account.time_zone));
            let beyond = || Refusal::invalid("wait", "It would last beyond the years that the ledger reckons with.");
            let until = input::instant("wait", until.ok_or_else(beyond)?)?;
            came.detail = json!({ "until": until });
            came.wake_at = Some(until);
        }
        Does::Branch(branch) => {
            let held = holds(tx, enrolment, branch).await?;
            let label = if held { &branch.then } else { &branch.otherwise };
            came.to = Some(label.as_deref().and_then(|label| place(steps, label)).unwrap_or(at + 1));
            came.detail = json!({ "held": held });
        }
        Does::Webhook { endpoint } => {
            let row = endpoints::live(tx, *endpoint).await?;
            row.ok_or_else(|| Flow::EndpointDisabled { field: "callWebhook".to_owned() })?;
            let payload = json!({
                "automationId": enrolment.automation_id,
                "enrolmentId": enrolment.id,
                "step": enrolment.step,
                "facts": enrolment.facts,
            });
            let (name, customer, subject) = ("automation.webhook", Some(enrolment.customer_id), enrolment.id.0);
            let event = tx.emit(Fact { name, customer, subject, payload });
            deliveries::enqueue(tx, app, &[(*endpoint, event)]).await?;
            came.detail = json!({ "eventId": event });
        }
        Does::Stop => came.to = None,
    }
    Ok(came)
}

async fn act(app: &App, tx: &Tx, enrolment: &Model, action: &Action) -> Result<(Option<entity::ActivityId>, Value)> {
    // A walk that a walk begins is one further.
    let cause = Cause { depth: enrolment.depth + 1, origin: enrolment.origin_id };
    let because = Because { event: enrolment.event_id, facts: &enrolment.facts, cause };
    let Some(command) = action.command(enrolment.customer_id, enrolment.id.to_string()) else {
        return Ok((None, action.take_effect(tx, enrolment.customer_id, &because).await?));
    };
    let done = ledger::within(tx, app.store(), author(enrolment.automation_id), vec![command.check()?]).await?;
    match (done.into_iter().next(), action.otherwise()) {
        (Some(Ok(outcome)), _) => Ok((outcome.activities.first().map(|(activity, _)| activity.id), json!({}))),
        // What begins instead is what the step came to.
        (Some(Err(Error::Refused(Refusal::InsufficientCredits { .. }))), Some(automation)) => {
            let instead = Action::Start { automation };
            Ok((None, Box::pin(instead.take_effect(tx, enrolment.customer_id, &because)).await?))
        }
        (Some(Err(error)), _) => Err(error),
        (None, _) => Err(Error::Internal("a command was not answered".to_owned())),
    }
}

async fn is_tagged(tx: &Tx, customer: CustomerId, tag: &str) -> Result<bool> {
    use customer_tag::Column;
    let rows = tx.rows::<customer_tag::Entity>().filter(Column::CustomerId.eq(customer)).filter(Column::Tag.eq(tag));
    Ok(rows.one(tx.db()).await?.is_some())
}

/// How many credits of a wallet can be used now.
async fn available(tx: &Tx, (customer, credit_type): WalletKey) -> Result<Credits> {
    let settle = Command::Settle(Settle { customer, credit_type });
    let books = load::books(tx.db(), &tx.account, &[&settle], Purpose::Glance, || tx.now).await?;
    let wallet = books.wallets.into_values().next();
    Ok(wallet.map(|wallet| ledger::balances::balance(wallet, tx.now).available).unwrap_or_default())
}

/// Whether what a branch asks holds now.
async fn holds(tx: &Tx, enrolment: &Model, branch: &Branch) -> Result<bool> {
    for question in &branch.questions {
        let held = match question {
            Question::Property(condition) => condition.holds(&enrolment.facts),
            Question::Tag(tag) => is_tagged(tx, enrolment.customer_id, tag).await?,
            Question::Balance { credit_type, at_least } => {
                available(tx, (enrolment.customer_id, *credit_type)).await? >= *at_least
            }
        };
        match (branch.matching, held) {
            (Match::All, false) => return Ok(false),
            (Match::Any, true) => return Ok(true),
            _ => {}
        }
    }
    Ok(branch.matching == Match::All)
}

/// Its job was laid aside.
pub(crate) async fn lay_aside(txn: &DatabaseTransaction, job: &job::Model, now: Instant) -> Result<()> {
    mark(txn, job, (Status::Running, Status::Failed), Some(now)).await
}

/// Its job is tried again, unless the customer has begun anew meanwhile.
pub(crate) async fn resume(tx: &Tx, job: &job::Model) -> Result<()> {
    let failed = tx.rows::<Entity>().filter(Column::Id.eq(of_job(job)?)).one(tx.db()).await?;
    if let Some(failed) = failed {
        let others = tx.rows::<Entity>().filter(Column::AutomationId.eq(failed.automation_id));
        let others = others.filter(Column::CustomerId.eq(failed.customer_id)).filter(Column::Active.eq(true));
        if others.one(tx.db()).await?.is_some_and(|other| other.id != failed.id) {
            return Err(Flow::AlreadyEnrolled.into());
        }
    }
    mark(tx.db(), job, (Status::Failed, Status::Running), None).await
}

async fn mark(
    txn: &DatabaseTransaction,
    job: &job::Model,
    (from, to): (Status, Status),
    ended_at: Option<Instant>,
) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(to))
        .col_expr(Column::Active, Expr::value(ended_at.is_none()))
        .col_expr(Column::EndedAt, Expr::value(ended_at))
        .filter(Column::AccountId.eq(job.account_id))
        .filter(Column::Id.eq(of_job(job)?))
        .filter(Column::Status.eq(from))
        .exec(txn)
        .await?;
    Ok(())
}
