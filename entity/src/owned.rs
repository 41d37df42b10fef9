//! The door to an account's rows: a query that starts here cannot meet another account's.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

use crate::{AccountId, CustomerId};

/// A table whose every row belongs to one account.
pub trait Owned: EntityTrait {
    /// The column that holds the account.
    const ACCOUNT: Self::Column;

    /// The rows of one account: the only way to begin a query.
    #[must_use]
    fn of(account: AccountId) -> Select<Self> {
        Self::find().filter(Self::ACCOUNT.eq(account))
    }
}

/// An owned table whose every row also belongs to one customer.
pub trait CustomerOwned: Owned {
    /// The column that holds the customer.
    const CUSTOMER: Self::Column;

    /// The rows of one customer.
    #[must_use]
    fn of_customer(account: AccountId, customer: CustomerId) -> Select<Self> {
        Self::of(account).filter(Self::CUSTOMER.eq(customer))
    }
}
