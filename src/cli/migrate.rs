//! `scrip migrate`: brings the database's tables up to date.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;

use super::{house, say};
use crate::config::Settings;
use crate::domain::ground::clock::SystemClock;
use crate::domain::storage::store::Missing;

#[derive(Args)]
pub struct Migrate {
    /// Where the data is: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Migrate {
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("database_url", self.database_url.clone())]
    }

    pub async fn run(&self, settings: Settings) -> Result<()> {
        let store = house::store(&settings, Missing::Create, Arc::new(SystemClock)).await?;
        match store.migrate().await.map_err(house::said)? {
            0 => say(format_args!("The database is up to date.")),
            ran => say(format_args!("Ran {ran} migration(s): the database is up to date.")),
        }
        Ok(())
    }
}
