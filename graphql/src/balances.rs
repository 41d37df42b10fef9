//! Balances.

use async_graphql::{Context, Description, Object, Result, SimpleObject};

use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::scalars::{Credits, DateTime};
use domain::Scope;
use domain::ledger::balances;

/// One customer's credits of one type, true at `asOf` whether or not any job has run.
#[derive(Description)]
pub struct Balance(pub balances::Balance);

#[Object(use_type_description)]
impl Balance {
    /// Whose credits.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer).await?.map(Customer))
    }

    /// What the credits are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let reads = ctx.reads(Scope::OwnRead).await?;
        Ok(reads.credit_types.get(self.0.credit_type).await?.map(CreditType))
    }

    /// How many can be used now.
    fn available(&self) -> Credits {
        Credits(self.0.available)
    }

    /// How many are set aside.
    fn held(&self) -> Credits {
        Credits(self.0.held)
    }

    /// How many count only later.
    fn not_yet_effective(&self) -> Credits {
        Credits(self.0.not_yet_effective)
    }

    /// How many cannot be used while their payment is disputed.
    fn frozen(&self) -> Credits {
        Credits(self.0.frozen)
    }

    /// What ends next, if it is not used; null if nothing will.
    fn next_expiry(&self) -> Option<Expiry> {
        self.0.next_expiry.map(Expiry::from)
    }

    /// What ever became of this customer's credits of this type.
    fn totals(&self) -> BalanceTotals {
        let totals = self.0.totals;
        BalanceTotals {
            issued: Credits(totals.issued),
            consumed: Credits(totals.consumed),
            expired: Credits(totals.expired),
            voided: Credits(totals.voided),
            transferred: Credits(totals.transferred),
        }
    }

    /// The instant at which all of this is true.
    fn as_of(&self) -> DateTime {
        DateTime(self.0.as_of)
    }
}

/// Credits that end at an instant, if they are not used.
#[derive(SimpleObject)]
pub struct Expiry {
    /// The first instant at which they no longer count.
    at: DateTime,
    /// How many.
    amount: Credits,
}

impl From<(domain::ground::clock::Instant, entity::Credits)> for Expiry {
    fn from((at, amount): (domain::ground::clock::Instant, entity::Credits)) -> Self {
        Self { at: DateTime(at), amount: Credits(amount) }
    }
}

/// What ever became of a customer's credits of one type.
#[derive(SimpleObject)]
pub struct BalanceTotals {
    /// How many came in: issued, or received by a transfer.
    issued: Credits,
    /// How many were used.
    consumed: Credits,
    /// How many ended unused.
    expired: Credits,
    /// How many were taken away.
    voided: Credits,
    /// How many went to another customer, or to a new grant.
    transferred: Credits,
}
