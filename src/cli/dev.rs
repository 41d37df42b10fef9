//! `scrip dev`: a demo business on this machine, without any settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::house::{self, House};
use super::{demo, demo_shop, doors, examples, say, serve};
use crate::config::Settings;
use crate::domain::ground::clock::{Clock, ManualClock, SystemClock};
use crate::domain::storage::store::Missing;
use crate::domain::{Caller, Role, accounts};
use crate::http::{Doors, Rules};

/// How long GraphiQL's token is good for.
const TOKEN: Duration = Duration::from_hours(7 * 24);

#[derive(Args)]
pub struct Dev {
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Delete ./scrip-dev.db and start over.
    #[arg(long)]
    reset: bool,
    /// Seed nothing but an account.
    #[arg(long)]
    empty: bool,
}

impl Dev {
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("listen", self.listen.clone())]
    }

    pub async fn run(&self, mut settings: Settings) -> Result<()> {
        let started = Instant::now();
        // The address first: with it taken, another one may be serving the very data that --reset would delete.
        let listener = serve::listen(&settings).await?;
        if !listener.local_addr()?.ip().is_loopback() {
            bail!("`dev` shows a token to whoever asks, so it listens at 127.0.0.1 or ::1 only. Others need `serve`.");
        }
        if settings.get("database_url").is_some() {
            eprintln!(
                "database_url is set: `dev` leaves it alone, but `token` and the like follow it. Unset it to use what is printed below."
            );
        }
        let lock = house::lock_development()?;
        if self.reset {
            delete_files(&house::development_files()).context("--reset could not delete the development database")?;
        }
        drop(lock);
        house::development(&mut settings)?;
        let _lock = house::lock_development()?;
        house::log(&settings)?;
        let start_over =
            || format!("{} cannot be used; `{} dev --reset` starts over", house::DEV_DATABASE, house::program());
        self.seed(&settings).await.with_context(start_over)?;
        let stop = house::asked_to_stop()?;
        let house = House::open(&settings).await.with_context(start_over)?;
        let operator = Caller::operator(house.app.clone(), "dev");
        let all = accounts::all(&operator).await.map_err(house::said)?;
        let several = all.len() > 1;
        let Some(account) = all.into_iter().next() else {
            bail!("{} has no account. `{} dev --reset` starts over.", house::DEV_DATABASE, house::program());
        };
        let token = house.tokens.make(Some(account.id), Role::Staff, "dev", TOKEN).map_err(house::said)?;
        let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "dev");
        let start = examples::start(&staff, token).await.map_err(house::said)?;
        let address = settings.get("listen").unwrap_or_default();
        let account = if several { format!(" --account {}", account.slug) } else { String::new() };
        let customer = start
            .has_ada
            .then(|| format!("        customer   {} token --customer ada@example.com{account}", house::program()));
        let tokens = format!("{} token --staff{account}{}", house::program(), customer.unwrap_or_default());
        let form = start.has_ada.then(|| format!("http://{address}/o/lakeside/{}", demo_shop::PACKAGE));
        say(banner(address, form.as_deref(), &tokens, started.elapsed()));
        let doors = Doors {
            app: house.app,
            tokens: house.tokens,
            start,
            local_only: true,
            // What is being developed beside it is served by this machine, at whatever port.
            rules: Rules { local_origins: true, ..doors::rules(&settings)? },
            tracker: tokio_util::task::TaskTracker::new(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        serve::serve(listener, doors, stop).await?;
        say(format_args!("Stopped. Your data is in {}.", house::DEV_DATABASE));
        Ok(())
    }

    /// Makes the database on the first start: the domain's own operations, on a clock that walks through a year.
    /// It gets its name when it is whole, so that a first start that is interrupted leaves nothing half done.
    async fn seed(&self, settings: &Settings) -> Result<()> {
        if Path::new(house::DEV_DATABASE).exists() {
            if self.empty {
                eprintln!("{} is already there: add --reset to start over, empty.", house::DEV_DATABASE);
            }
            let store = house::store(settings, Missing::Refuse, Arc::new(SystemClock)).await?;
            return store.migrate().await.map(drop).map_err(house::said);
        }
        if !self.empty {
            say(format_args!("Making {}: a coaching studio and a year of its business …", house::DEV_DATABASE));
        }
        delete_files(&house::files(house::DEV_SEED))?;
        let mut seed = settings.clone();
        seed.develop("database_url", format!("sqlite:{}", house::DEV_SEED));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = house::store(&seed, Missing::Create, clock.clone()).await?;
        store.migrate().await.map_err(house::said)?;
        let house = House::start(&seed, store)?;
        demo::seed(&house.app, &clock, self.empty).await.map_err(house::said)?;
        house.app.close().await;
        std::fs::rename(house::DEV_SEED, house::DEV_DATABASE).context("the new database could not get its name")
    }
}

fn banner(address: &str, shop: Option<&str>, tokens: &str, elapsed: Duration) -> String {
    let url = format!("http://{address}");
    format!(
        "Scrip {version}, development mode: data in {data}, never use this in production
  GraphiQL  {graphiql:<36} opens with a staff token and eleven example operations
  GraphQL   {url}/graphql{shop}
  staff     {tokens}
  Ready in {seconds:.1} s. Ctrl-C stops it; your data stays (--reset starts over, --empty seeds nothing).",
        version = env!("CARGO_PKG_VERSION"),
        data = house::DEV_DATABASE,
        graphiql = format!("{url}/graphiql"),
        shop = shop.map(|shop| format!("\n  shop      {shop:<36} an order form, for anyone")).unwrap_or_default(),
        seconds = elapsed.as_secs_f64(),
    )
}

fn delete_files(files: &[PathBuf]) -> std::io::Result<()> {
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
