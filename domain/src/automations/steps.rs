//! What automations are made of (pure): ordered steps, of which a branch may skip some, forward only. So every walk ends.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate};
use entity::{CreditTypeId, Credits, PeriodUnit, WebhookEndpointId};
use serde::{Deserialize, Serialize};

use super::actions::Action;
use super::conditions::Condition;
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ledger::expiration::{first_instant, plus};

/// Steps of one automation.
const MOST: usize = 50;
/// Conditions of one branch.
const CONDITIONS: usize = 20;
/// The longest wait, in its own unit.
const LONGEST: i32 = 1_000;
/// The most years of a wait.
const YEARS: i32 = 100;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// A name that branches lead to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub does: Does,
    /// What becomes of the walk where the step is refused.
    #[serde(default)]
    pub when_refused: WhenRefused,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    Act(Action),
    /// Wait for so long, by the account's calendar.
    Wait {
        count: i32,
        unit: WaitUnit,
    },
    /// Wait until a local day begins; where it has begun, go on.
    WaitUntil(NaiveDate),
    /// Go to one step or to another.
    Branch(Branch),
    /// Post to a webhook endpoint.
    Webhook {
        endpoint: WebhookEndpointId,
    },
    /// End here.
    Stop,
}

/// The unit of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitUnit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// A question, and where its answers lead: to the step of a label, or to the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    #[serde(rename = "match")]
    pub matching: super::conditions::Match,
    pub questions: Vec<Question>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

/// What a branch asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether so many credits of a type can be used, or more.
    Balance { credit_type: CreditTypeId, at_least: Credits },
    /// Whether the customer has a tag.
    Tag(String),
    /// What the event that began the walk said.
    Property(Condition),
}

/// What becomes of a walk where a step is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenRefused {
    #[default]
    Continue,
    End,
}

impl Does {
    /// When a wait that begins now is over; none for what is no wait.
    #[must_use]
    pub fn waits_until(&self, now: Instant, zone: chrono_tz::Tz) -> Option<Instant> {
        use chrono::TimeDelta;
        match self {
            Self::Wait { count, unit } => match unit {
                WaitUnit::Minute => Some(now + TimeDelta::minutes(i64::from(*count))),
                WaitUnit::Hour => Some(now + TimeDelta::hours(i64::from(*count))),
                WaitUnit::Day => plus(now, *count, PeriodUnit::Day, zone),
                WaitUnit::Week => plus(now, *count, PeriodUnit::Week, zone),
                WaitUnit::Month => plus(now, *count, PeriodUnit::Month, zone),
                WaitUnit::Year => plus(now, *count, PeriodUnit::Year, zone),
            },
            Self::WaitUntil(date) => first_instant(*date, zone),
            _ => None,
        }
    }
}

/// Refuses what is outside the limits, what leads nowhere, and what leads back.
pub fn check(steps: Vec<Step>) -> Result<Vec<Step>, Refusal> {
    if steps.is_empty() || steps.len() > MOST {
        return Err(Refusal::invalid("steps", format!("Must be 1 to {MOST} steps.")));
    }
    let mut labels = HashMap::new();
    let mut checked = Vec::with_capacity(steps.len());
    for (number, mut step) in steps.into_iter().enumerate() {
        let field = format!("steps.{number}");
        step.label = input::optional_text(&format!("{field}.label"), step.label.as_deref(), 64)?;
        if let Some(label) = &step.label
            && let Some(earlier) = labels.insert(label.clone(), number)
        {
            let message = format!("Step {earlier} has this label already. Use a different one.");
            return Err(Refusal::invalid(&format!("{field}.label"), message));
        }
        check_does(&format!("{field}.does"), &mut step.does)?;
        checked.push(step);
    }
    for (number, step) in checked.iter().enumerate() {
        let Does::Branch(branch) = &step.does else { continue };
        for (name, label) in [("then", &branch.then), ("otherwise", &branch.otherwise)] {
            let Some(label) = label else { continue };
            let field = format!("steps.{number}.does.branch.{name}");
            match labels.get(label) {
                None => return Err(Refusal::invalid(&field, format!("No step has the label {label}."))),
                Some(to) if *to <= number => {
                    let message = format!(
                        "Must lead to a later step: {label} is step {to}, and this is step {number}, so that the walk would never end."
                    );
                    return Err(Refusal::invalid(&field, message));
                }
                Some(_) => {}
            }
        }
    }
    Ok(checked)
}

fn check_does(field: &str, does: &mut Does) -> Result<(), Refusal> {
    match does {
        Does::Wait { count, .. } if !(1..=LONGEST).contains(count) => {
            Err(Refusal::invalid(&format!("{field}.wait.count"), format!("Must be 1 to {LONGEST}.")))
        }
        Does::WaitUntil(date) if !(1970..=input::LAST_YEAR).contains(&date.year()) => {
            let message = format!("Must be in the years 1970 to {}.", input::LAST_YEAR);
            Err(Refusal::invalid(&format!("{field}.waitUntil"), message))
        }
        Does::Wait { count, unit: WaitUnit::Year } if *count > YEARS => {
            Err(Refusal::invalid(&format!("{field}.wait.count"), format!("Must be at most {YEARS} years.")))
        }
        Does::Branch(branch) => {
            if branch.questions.is_empty() || branch.questions.len() > CONDITIONS {
                let message = format!("Must be 1 to {CONDITIONS} conditions.");
                return Err(Refusal::invalid(&format!("{field}.branch.conditions"), message));
            }
            let mut asked = Vec::new();
            for (number, question) in branch.questions.iter_mut().enumerate() {
                let field = format!("{field}.branch.conditions.{number}");
                match question {
                    Question::Balance { at_least, .. } => {
                        *at_least = input::amount(&format!("{field}.balance.atLeast"), *at_least)?;
                    }
                    Question::Tag(tag) => *tag = input::text(&format!("{field}.tag"), &tag.to_lowercase(), 64)?,
                    Question::Property(condition) => {
                        // An event of any name may have begun the walk, so what a property is cannot be known here.
                        condition.check(&format!("{field}.property"), None)?;
                        asked.push(condition.clone());
                    }
                }
            }
            let asked = super::conditions::Conditions { matching: branch.matching, conditions: asked };
            asked.check_possible(&format!("{field}.branch.conditions"))
        }
        _ => Ok(()),
    }
}

/// Where a label stands.
#[must_use]
pub fn place(steps: &[Step], label: &str) -> Option<usize> {
    steps.iter().position(|step| step.label.as_deref() == Some(label))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::automations::conditions::{Match, Test};

    fn step(label: &str, does: Does) -> Step {
        Step {
            label: Some(label.to_owned()).filter(|label| !label.is_empty()),
            does,
            when_refused: WhenRefused::Continue,
        }
    }

    fn branch(then: Option<&str>) -> Does {
        let question = Question::Property(Condition { property: "plan".to_owned(), test: Test::Equals(json!("gold")) });
        let then = then.map(str::to_owned);
        Does::Branch(Branch { matching: Match::All, questions: vec![question], then, otherwise: None })
    }

    #[test]
    fn a_walk_leads_forward_only_and_to_steps_that_are_there() {
        let message = |steps| check(steps).expect_err("refused").message();
        assert!(message(vec![]).contains("1 to 50"));
        assert!(message(vec![step("here", branch(Some("here")))]).contains("never end"));
        assert!(message(vec![step("a", Does::Stop), step("b", branch(Some("a")))]).contains("later step"));
        assert!(message(vec![step("", branch(Some("nowhere")))]).contains("No step"));
        assert!(message(vec![step("a", Does::Stop), step("a", Does::Stop)]).contains("already"));
        assert!(message(vec![step("", Does::Wait { count: 0, unit: WaitUnit::Day })]).contains("1 to 1000"));
        assert!(check(vec![step("", branch(Some("end"))), step("", branch(None)), step("end", Does::Stop)]).is_ok());
    }

    #[test]
    fn waits_follow_the_account_s_calendar() {
        let zone = chrono_tz::Europe::Zurich;
        let at = |text: &str| text.parse::<Instant>().expect("an instant");
        let wait = |unit| Does::Wait { count: 1, unit }.waits_until(at("2026-03-28T09:00:00Z"), zone);
        assert_eq!(wait(WaitUnit::Day), Some(at("2026-03-29T08:00:00Z")), "the clocks go forward in the night");
        assert_eq!(wait(WaitUnit::Hour), Some(at("2026-03-28T10:00:00Z")));
        let date = NaiveDate::from_ymd_opt(2026, 3, 30).expect("a date");
        let until = Does::WaitUntil(date).waits_until(at("2026-03-28T09:00:00Z"), zone);
        assert_eq!(until, Some(at("2026-03-29T22:00:00Z")));
    }
}
