//! Reports: what is owed, earned, and was never used.

use async_graphql::{Context, Description, Enum, Object, Result, SimpleObject};

use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::list::List;
use super::scalars::{Credits, DateTime, Money};
use domain::reports::{self, Flow, Grouping, Liability, Stretch, Sum};
use domain::{Error, Refusal, Scope};

/// Lines of one answer; more are in the CSV file.
const LINES: usize = 1_000;

/// By what a report is said, beside credit type and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Grouping", name = "ReportGrouping")]
pub enum ReportGrouping {
    /// By nothing else.
    CreditType,
    /// By customer.
    Customer,
    /// By day of the account's zone.
    Day,
    /// By month of the account's zone.
    Month,
}

/// A number of credits, and what they had cost.
#[derive(SimpleObject)]
pub struct CreditSum {
    /// How many.
    credits: Credits,
    /// What they had cost.
    cost: Money,
}

impl CreditSum {
    fn new(sum: Sum, currency: &str) -> Self {
        Self { credits: Credits(sum.credits), cost: Money::new(sum.cost, currency) }
    }
}

/// What became of all credits of one type that were paid in one currency, as of an instant. Always
/// `sold = deferred + earned + breakage + voided + reduced + losses`, in credits and in money.
#[derive(Description)]
pub struct CreditLiability {
    line: Liability,
    as_of: domain::ground::clock::Instant,
}

#[Object(use_type_description)]
impl CreditLiability {
    /// The instant, included.
    fn as_of(&self) -> DateTime {
        DateTime(self.as_of)
    }

    /// What the credits are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::StaffRead).await?.credit_types.get(self.line.credit_type).await?.map(CreditType))
    }

    /// Issued, sold or given.
    fn sold(&self) -> CreditSum {
        CreditSum::new(self.line.sold, &self.line.currency)
    }

    /// Not used yet, free or set aside: what the business owes.
    fn deferred(&self) -> CreditSum {
        CreditSum::new(self.line.deferred, &self.line.currency)
    }

    /// Used.
    fn earned(&self) -> CreditSum {
        CreditSum::new(self.line.earned, &self.line.currency)
    }

    /// Ended unused.
    fn breakage(&self) -> CreditSum {
        CreditSum::new(self.line.breakage, &self.line.currency)
    }

    /// Taken back, whether money was returned for it or not.
    fn voided(&self) -> CreditSum {
        CreditSum::new(self.line.voided, &self.line.currency)
    }

    /// What refunds took off the cost of credits that stayed, were used or had ended. Of no credits: these are counted
    /// where they are.
    fn reduced(&self) -> CreditSum {
        CreditSum::new(self.line.reduced, &self.line.currency)
    }

    /// What was used, or had ended, and whose money was charged back or never came. Of no credits: these are counted where
    /// they are.
    fn losses(&self) -> CreditSum {
        CreditSum::new(self.line.losses, &self.line.currency)
    }

    /// What went back to who had paid it: `reduced`, and the part of `voided` whose money was returned.
    fn refunded(&self) -> Money {
        Money::new(self.line.refunded, &self.line.currency)
    }
}

/// What became of credits of one type, paid in one currency, in a stretch of time.
#[derive(Description)]
pub struct CreditFlow(Flow);

#[Object(use_type_description)]
impl CreditFlow {
    /// What the credits are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::StaffRead).await?.credit_types.get(self.0.credit_type).await?.map(CreditType))
    }

    /// Whose they are, where it is said by customer.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        let Some(id) = self.0.customer else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.customers.get(id).await?.map(Customer))
    }

    /// The first instant of the day or month, where it is said by these.
    fn from(&self) -> Option<DateTime> {
        self.0.from.map(DateTime)
    }

    /// How many, and what they had cost. Negative where more was revived, or given back, than ended or was used.
    fn sum(&self) -> CreditSum {
        CreditSum::new(self.0.sum, &self.0.currency)
    }
}

#[derive(Default)]
pub struct ReportQuery;

#[Object]
impl ReportQuery {
    /// What is owed, earned and was never used, as of an instant that has passed: one line per credit type and currency.
    /// For staff.
    #[graphql(complexity = "child_complexity.saturating_mul(20).saturating_add(500)")]
    async fn credit_liability(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant, included; now, if nothing is said.")] as_of: Option<DateTime>,
    ) -> Option<Result<List<CreditLiability>>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let (as_of, lines) = reports::liability(reads.at_length().await?, as_of.map(|at| at.0)).await?;
            Ok(lines.into_iter().map(|line| CreditLiability { line, as_of }).collect())
        };
        Some(found.await)
    }

    /// What ended unused in a stretch of time, less what was revived in it. For staff.
    #[graphql(complexity = "child_complexity.saturating_mul(20).saturating_add(500)")]
    async fn credit_breakage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From this instant on.")] from: DateTime,
        #[graphql(desc = "Before this instant.")] to: DateTime,
    ) -> Option<Result<List<CreditFlow>>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let lines = reports::breakage(reads.at_length().await?, Stretch { from: from.0, to: to.0 }).await?;
            Ok(lines.into_iter().map(CreditFlow).collect())
        };
        Some(found.await)
    }

    /// What was used in a stretch of time, less what was given back in it: 1,000 lines at most. For staff.
    #[graphql(complexity = "child_complexity.saturating_mul(50).saturating_add(500)")]
    async fn credit_consumption(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From this instant on.")] from: DateTime,
        #[graphql(desc = "Before this instant.")] to: DateTime,
        #[graphql(
            desc = "By what it is said; days and months, 366 at most.",
            default_with = "ReportGrouping::CreditType"
        )]
        group_by: ReportGrouping,
    ) -> Option<Result<List<CreditFlow>>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let stretch = Stretch { from: from.0, to: to.0 };
            let lines = reports::consumption(reads.at_length().await?, stretch, group_by.into()).await?;
            if lines.len() > LINES {
                let message = format!("Comes to more than {LINES} lines: they are in /reports/consumption.csv.");
                return Err(Error::from(Refusal::invalid("groupBy", message)).into());
            }
            Ok(lines.into_iter().map(CreditFlow).collect())
        };
        Some(found.await)
    }
}
