//! How the tables came to be. Knows nobody: an old migration must not change when a table does.

mod dialect;
mod m2026_11_22_000001_ledger;
mod m2026_11_24_000002_selling;
mod m2026_11_24_000003_events;
mod m2026_11_24_000004_access;
mod m2026_11_28_000005_parts;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{MigrationTrait, async_trait};

/// All migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m2026_11_22_000001_ledger::Migration),
            Box::new(m2026_11_24_000002_selling::Migration),
            Box::new(m2026_11_24_000003_events::Migration),
            Box::new(m2026_11_24_000004_access::Migration),
            Box::new(m2026_11_28_000005_parts::Migration),
        ]
    }
}
