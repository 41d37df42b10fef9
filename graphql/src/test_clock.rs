//! The test clock of a sandbox.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};

use super::accounts::Account;
use super::context::Ask;
use super::payload::{UserErrorInterface, answer};
use super::scalars::DateTime;
use domain::work::test_clock;

/// How far the clock is to go.
#[derive(InputObject)]
pub struct TestClockAdvanceInput {
    /// The instant that it is to show: not before the one that it shows.
    to: DateTime,
}

/// What became of `testClockAdvance`.
#[derive(SimpleObject)]
pub struct TestClockAdvancePayload {
    /// The account, whose `clockAt` is how far it came; null if it was refused.
    account: Option<Account>,
    /// How many things fell due on the way and were done.
    steps: Option<i32>,
    /// Whether it came to where it was to be. One call does 100,000 steps at most, and goes on for 15 seconds at most:
    /// if it did not arrive, send it again.
    arrived: Option<bool>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct TestClockMutation;

#[Object]
impl TestClockMutation {
    /// Let the clock of a sandbox go on, and do on its way all that falls due: credits end, holds lapse, each at its own
    /// instant. For the owner.
    async fn test_clock_advance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far.")] input: TestClockAdvanceInput,
    ) -> Option<Result<TestClockAdvancePayload>> {
        let advanced = async { test_clock::advance(ctx.caller()?, input.to.0).await };
        let answered = answer(ctx, Box::pin(advanced)).await;
        Some(answered.map(|(advanced, user_errors)| {
            let steps = advanced.as_ref().map(|advanced| i32::try_from(advanced.steps).unwrap_or(i32::MAX));
            let arrived = advanced.as_ref().map(|advanced| advanced.arrived);
            let account = advanced.map(|advanced| Account(advanced.account));
            TestClockAdvancePayload { account, steps, arrived, user_errors }
        }))
    }
}
