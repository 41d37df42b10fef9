//! What a business offers: credit types, products, and how they are paid.

pub mod credit_types;
pub mod prices;
pub mod pricing;
pub mod products;
pub(crate) mod revisit;
