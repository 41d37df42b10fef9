//! The steps of automations, as inputs and as answers.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};

use super::actions::{ActionAnswer, ActionInput, ConsumeActionInput, IssueActionInput};
use super::conditions::{ConditionAnswer, ConditionInput, ConditionMatch};
use super::context::Ask;
use super::credit_types::CreditType;
use super::list::List;
use super::payload::id;
use super::scalars::{Credits, Date, Whole};
use super::webhooks::WebhookEndpoint;
use domain::automations::steps::{self, Branch, Does, Question, WaitUnit, WhenRefused};
use domain::{Refusal, Scope};

/// The unit of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "WaitUnit", name = "WaitUnit")]
pub enum WaitUnitName {
    /// Sixty seconds.
    Minute,
    /// Sixty minutes.
    Hour,
    /// Calendar days: the same time of day, in the account's zone.
    Day,
    /// Seven days.
    Week,
    /// Calendar months: 31 January and one month is the last of February.
    Month,
    /// Calendar years.
    Year,
}

/// What becomes of a walk where a step is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "WhenRefused", name = "WhenRefused")]
pub enum WhenRefusedName {
    /// It goes on with the next step.
    Continue,
    /// It ends; the enrolment's `reason` says why.
    End,
}

/// How long to wait.
#[derive(InputObject)]
pub struct WaitInput {
    /// How many units: 1 to 1,000.
    count: Whole,
    /// The unit.
    unit: WaitUnitName,
}

/// A number of credits that can be used, or more.
#[derive(InputObject)]
pub struct BalanceConditionInput {
    /// What they are good for.
    credit_type_id: ID,
    /// How many, at least.
    at_least: Credits,
}

/// What a branch asks. Exactly one of the fields.
#[derive(OneofObject)]
pub enum BranchConditionInput {
    /// Whether the customer can use so many credits, or more.
    Balance(BalanceConditionInput),
    /// Whether the customer has this tag.
    Tag(String),
    /// What the event that began the walk says. One that was begun by hand says nothing.
    Property(ConditionInput),
}

/// A question, and where its answers lead.
#[derive(InputObject)]
pub struct BranchInput {
    /// Whether all conditions must hold, or one of them.
    #[graphql(name = "match", default_with = "ConditionMatch::All")]
    matching: ConditionMatch,
    /// What is asked: 1 to 20 conditions.
    conditions: Vec<BranchConditionInput>,
    /// The label of a later step, where they hold; the next step, if left out.
    then: Option<String>,
    /// The label of a later step, where they do not; the next step, if left out.
    otherwise: Option<String>,
}

/// What a step does. Exactly one of the fields.
#[derive(OneofObject)]
pub enum StepDoesInput {
    /// Issue credits.
    IssueCredits(IssueActionInput),
    /// Consume credits.
    ConsumeCredits(ConsumeActionInput),
    /// Begin this other automation.
    StartAutomation(ID),
    /// Put these tags on the customer.
    TagCustomer(Vec<String>),
    /// Take these tags off the customer.
    UntagCustomer(Vec<String>),
    /// Wait for so long.
    Wait(WaitInput),
    /// Wait until this day begins, in the account's zone. Where it has begun, go on.
    WaitUntil(Date),
    /// Go to one step or to another.
    Branch(BranchInput),
    /// Post `automation.webhook` to this webhook endpoint, whatever events it asks for.
    CallWebhook(ID),
    /// End here; the value is `true`.
    Stop(bool),
}

/// One step of an automation.
#[derive(InputObject)]
pub struct StepInput {
    /// A name that branches lead to: at most 64 characters, each once.
    label: Option<String>,
    /// What it does.
    does: StepDoesInput,
    /// What becomes of the walk where the step is refused.
    #[graphql(default_with = "WhenRefusedName::Continue")]
    when_refused: WhenRefusedName,
}

/// The steps of a list.
pub fn steps(inputs: Vec<StepInput>) -> Result<Vec<steps::Step>, Refusal> {
    let numbered = inputs.into_iter().enumerate();
    let step = |(number, input): (usize, StepInput)| {
        let does = input.does.does(&format!("steps.{number}.does"))?;
        Ok(steps::Step { label: input.label, does, when_refused: input.when_refused.into() })
    };
    numbered.map(step).collect()
}

impl StepDoesInput {
    fn does(self, field: &str) -> Result<Does, Refusal> {
        let action = match self {
            Self::Wait(wait) => return Ok(Does::Wait { count: wait.count.0, unit: wait.unit.into() }),
            Self::WaitUntil(date) => return Ok(Does::WaitUntil(date.0)),
            Self::Branch(branch) => return branch.branch(field).map(Does::Branch),
            Self::CallWebhook(given) => {
                return Ok(Does::Webhook {
                    endpoint: id(&format!("{field}.callWebhook"), "webhook endpoint", &given)?,
                });
            }
            Self::Stop(true) => return Ok(Does::Stop),
            Self::Stop(false) => return Err(Refusal::invalid(&format!("{field}.stop"), "Must be true.")),
            Self::IssueCredits(input) => ActionInput::IssueCredits(input),
            Self::ConsumeCredits(input) => ActionInput::ConsumeCredits(input),
            Self::StartAutomation(given) => ActionInput::StartAutomation(given),
            Self::TagCustomer(tags) => ActionInput::TagCustomer(tags),
            Self::UntagCustomer(tags) => ActionInput::UntagCustomer(tags),
        };
        action.action(field).map(Does::Act)
    }
}

impl BranchInput {
    fn branch(self, field: &str) -> Result<Branch, Refusal> {
        let question = |(number, input): (usize, BranchConditionInput)| {
            Ok(match input {
                BranchConditionInput::Balance(balance) => {
                    let field = format!("{field}.branch.conditions.{number}.balance.creditTypeId");
                    let credit_type = id(&field, "credit type", &balance.credit_type_id)?;
                    Question::Balance { credit_type, at_least: balance.at_least.0 }
                }
                BranchConditionInput::Tag(tag) => Question::Tag(tag),
                BranchConditionInput::Property(condition) => Question::Property(condition.into()),
            })
        };
        Ok(Branch {
            matching: self.matching.into(),
            questions: self.conditions.into_iter().enumerate().map(question).collect::<Result<_, Refusal>>()?,
            then: self.then,
            otherwise: self.otherwise,
        })
    }
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum StepKind {
    /// It does something to the customer: see `action`.
    Act,
    /// It waits for so long: see `wait`.
    Wait,
    /// It waits until a day begins: see `waitUntil`.
    WaitUntil,
    /// It goes to one step or to another: see `branch`.
    Branch,
    /// It posts to a webhook endpoint: see `webhookEndpoint`.
    CallWebhook,
    /// It ends the walk.
    Stop,
}

/// One step of an automation.
#[derive(Description)]
pub struct Step(pub steps::Step);

#[Object(name = "AutomationStep", use_type_description)]
impl Step {
    /// A name that branches lead to.
    fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    /// What it does.
    fn kind(&self) -> StepKind {
        match self.0.does {
            Does::Act(_) => StepKind::Act,
            Does::Wait { .. } => StepKind::Wait,
            Does::WaitUntil(_) => StepKind::WaitUntil,
            Does::Branch(_) => StepKind::Branch,
            Does::Webhook { .. } => StepKind::CallWebhook,
            Does::Stop => StepKind::Stop,
        }
    }

    /// What it does to the customer.
    fn action(&self) -> Option<ActionAnswer> {
        if let Does::Act(action) = &self.0.does { Some(ActionAnswer(action.clone())) } else { None }
    }

    /// How long it waits.
    fn wait(&self) -> Option<Wait> {
        if let Does::Wait { count, unit } = self.0.does { Some(Wait { count, unit: unit.into() }) } else { None }
    }

    /// The day until whose beginning it waits.
    fn wait_until(&self) -> Option<Date> {
        if let Does::WaitUntil(date) = self.0.does { Some(Date(date)) } else { None }
    }

    /// The question that it asks, and where its answers lead.
    fn branch(&self) -> Option<BranchAnswer> {
        if let Does::Branch(branch) = &self.0.does { Some(branch.clone().into()) } else { None }
    }

    /// Where it posts to, by its id.
    fn webhook_endpoint_id(&self) -> Option<ID> {
        if let Does::Webhook { endpoint } = self.0.does { Some(endpoint.to_string().into()) } else { None }
    }

    /// Where it posts to. For the owner; null for staff.
    async fn webhook_endpoint(&self, ctx: &Context<'_>) -> Result<Option<WebhookEndpoint>> {
        let Does::Webhook { endpoint } = self.0.does else { return Ok(None) };
        if !ctx.caller()?.role().may(Scope::WebhooksWrite) {
            return Ok(None);
        }
        Ok(ctx.reads(Scope::WebhooksWrite).await?.endpoints.get(endpoint).await?.map(WebhookEndpoint))
    }

    /// What becomes of the walk where the step is refused.
    fn when_refused(&self) -> WhenRefusedName {
        self.0.when_refused.into()
    }
}

/// How long to wait.
#[derive(SimpleObject)]
pub struct Wait {
    /// How many units.
    count: i32,
    /// The unit.
    unit: WaitUnitName,
}

/// A question, and where its answers lead.
#[derive(SimpleObject)]
#[graphql(name = "Branch")]
pub struct BranchAnswer {
    /// Whether all conditions must hold, or one of them.
    #[graphql(name = "match")]
    matching: ConditionMatch,
    /// What is asked.
    conditions: List<QuestionAnswer>,
    /// The label of the step where they hold; null for the next.
    then: Option<String>,
    /// The label of the step where they do not; null for the next.
    otherwise: Option<String>,
}

impl From<Branch> for BranchAnswer {
    fn from(branch: Branch) -> Self {
        Self {
            matching: branch.matching.into(),
            conditions: branch.questions.into_iter().map(QuestionAnswer).collect(),
            then: branch.then,
            otherwise: branch.otherwise,
        }
    }
}

/// What a branch asks. One of the fields is set.
#[derive(Description)]
pub struct QuestionAnswer(Question);

#[Object(name = "BranchCondition", use_type_description)]
impl QuestionAnswer {
    /// Of which credits the customer needs so many.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let Question::Balance { credit_type, .. } = &self.0 else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.credit_types.get(*credit_type).await?.map(CreditType))
    }

    /// How many credits, at least.
    fn at_least(&self) -> Option<Credits> {
        if let Question::Balance { at_least, .. } = self.0 { Some(Credits(at_least)) } else { None }
    }

    /// The tag that the customer needs.
    fn tag(&self) -> Option<&str> {
        if let Question::Tag(tag) = &self.0 { Some(tag) } else { None }
    }

    /// What the event that began the walk must say.
    fn property(&self) -> Option<ConditionAnswer> {
        if let Question::Property(condition) = &self.0 { Some(condition.clone().into()) } else { None }
    }
}
