//! Puts the house together: settings to store to app, and the messages where that fails.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::doors;
use crate::config::{Settings, without_password};
use crate::domain::accounts::tokens::Tokens;
use crate::domain::ground::clock::{Clock, SystemClock, fresh_salt};
use crate::domain::storage::store::{Missing, Store};
use crate::domain::{App, Error, LedgerKey, accounts};
use crate::gateway::{Poster, SystemNames};

/// The development database, in the folder where the command was given.
pub const DEV_DATABASE: &str = "./scrip-dev.db";
/// What it is called while it is being made.
pub const DEV_SEED: &str = "./scrip-dev.db.new";
/// Its secrets, readable by its owner only.
const DEV_SECRETS: &str = "./scrip-dev.secrets";

/// The running parts that commands use.
pub struct House {
    pub app: App,
    pub tokens: Arc<Tokens>,
}

impl House {
    /// Opens the database that the settings name; its tables must be up to date.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let store = store(settings, Missing::Refuse, Arc::new(SystemClock)).await?;
        let pending = store.pending_migrations().await.map_err(said)?;
        if pending > 0 {
            bail!("the database is {pending} migration(s) behind. Run `scrip migrate` first.");
        }
        accounts::assert_ledger_key(&store).await.map_err(said)?;
        Self::start(settings, store)
    }

    /// Starts on a store that is ready.
    pub fn start(settings: &Settings, store: Store) -> Result<Self> {
        let issuer = settings.get("token_issuer").unwrap_or_default();
        let audience = settings.get("token_audience").unwrap_or_default();
        let tokens = Tokens::new(&settings.secret("signing_secret")?, issuer, audience);
        let tokens = Arc::new(match doors::identity(settings)? {
            Some(identity) => tokens.trusting(identity),
            None => tokens,
        });
        let private = settings.flag("webhook_private")?;
        let poster = Poster::new(Arc::new(SystemNames), private).map_err(|error| anyhow::anyhow!(error))?;
        let commands = settings.number("commands_per_commit")?;
        if !(1..=256).contains(&commands) {
            bail!("commands_per_commit must be 1 to 256, not {commands}");
        }
        let app = App::start(store, crate::gateway::providers(), Arc::new(poster));
        app.limit_batches(commands);
        app.keep_accounts_apart(settings.flag("accounts_apart")?);
        Ok(Self { app, tokens })
    }
}

/// Connects to the database that the settings name.
pub async fn store(settings: &Settings, missing: Missing, clock: Arc<dyn Clock>) -> Result<Store> {
    let Some(url) = settings.get("database_url") else {
        bail!(
            "database_url is not set. To try Scrip, run `scrip dev` first; for production, set SCRIP_DATABASE_URL \
             to sqlite:PATH or postgres://…"
        );
    };
    if let Some(path) = sqlite_file(url)
        && missing == Missing::Refuse
        && !path.exists()
    {
        bail!("there is no database at {}. Run `scrip migrate` to make it.", path.display());
    }
    let key = LedgerKey::new(settings.secret("ledger_key")?);
    let whole = settings.number("whole_wallet_grants")?;
    if whole == 0 {
        bail!("whole_wallet_grants must be 1 to 65535, not 0");
    }
    let store = Store::connect(url, missing, clock, key).await.map(|store| store.with_whole_wallets(whole));
    store.map_err(said).with_context(|| format!("no database at {}", without_password(url)))
}

/// The file of a SQLite database; none if the URL is another database's.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.trim_start_matches("//");
    Some(PathBuf::from(path.split('?').next().unwrap_or_default()))
}

/// An error of the domain in words for whoever runs the command.
pub fn said(error: Error) -> anyhow::Error {
    match error {
        Error::Refused(refusal) | Error::RefusedBefore(refusal) => match refusal.field() {
            Some(field) => anyhow::anyhow!("{}: {}", field.join("."), refusal.message()),
            None => anyhow::anyhow!(refusal.message()),
        },
        Error::Unavailable(why) => anyhow::anyhow!("{why}"),
        other => anyhow::anyhow!("{other}"),
    }
}

/// Without settings, commands speak of the development database, if `scrip dev` made one here.
pub fn with_development(mut settings: Settings) -> Result<Settings> {
    if settings.get("database_url").is_none() && Path::new(DEV_DATABASE).exists() && Path::new(DEV_SECRETS).exists() {
        development(&mut settings)?;
    }
    Ok(settings)
}

/// The settings of development: the database here, and secrets that are made once and kept beside it.
pub fn development(settings: &mut Settings) -> Result<()> {
    let secrets = development_secrets()?;
    settings.develop("database_url", format!("sqlite:{DEV_DATABASE}"));
    settings.develop("signing_secret", secrets.0);
    settings.develop("ledger_key", secrets.1);
    // What is being developed beside it listens on this machine.
    settings.develop("webhook_private", "true".to_owned());
    if settings.get("log").is_none() {
        settings.develop("log", "warn".to_owned());
    }
    Ok(())
}

fn development_secrets() -> Result<(String, String)> {
    if !Path::new(DEV_SECRETS).exists() {
        let secret = || {
            let bytes = [fresh_salt(), fresh_salt(), fresh_salt()].concat();
            data_encoding::HEXLOWER.encode(&bytes)
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(DEV_SECRETS).with_context(|| format!("{DEV_SECRETS} cannot be made"))?;
        std::io::Write::write_all(&mut file, format!("{}\n{}\n", secret(), secret()).as_bytes())?;
    }
    let text = std::fs::read_to_string(DEV_SECRETS).with_context(|| format!("{DEV_SECRETS} cannot be read"))?;
    let mut lines = text.lines().map(str::to_owned);
    match (lines.next(), lines.next()) {
        (Some(signing), Some(ledger)) => Ok((signing, ledger)),
        _ => bail!("{DEV_SECRETS} is broken. `scrip dev --reset` starts over."),
    }
}

/// Takes the development database for one server; held until it is dropped.
pub fn lock_development() -> Result<Option<std::fs::File>> {
    let Ok(file) = std::fs::File::open(DEV_SECRETS) else { return Ok(None) };
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another `scrip dev` is serving {DEV_DATABASE}. Stop it first (Ctrl-C where it runs).")
        }
        _ => Ok(Some(file)),
    }
}

/// The files of a SQLite database.
pub fn files(database: &str) -> Vec<PathBuf> {
    ["", "-wal", "-shm"].iter().map(|end| PathBuf::from(format!("{database}{end}"))).collect()
}

/// The files of development: the database and its secrets.
pub fn development_files() -> Vec<PathBuf> {
    [files(DEV_DATABASE), vec![PathBuf::from(DEV_SECRETS)]].concat()
}

/// What is logged, and whether as JSON: text on a terminal, JSON else.
pub fn log_settings(settings: &Settings) -> Result<(EnvFilter, bool)> {
    let filter = settings.get("log").unwrap_or("info");
    let level = filter.parse::<tracing_subscriber::filter::LevelFilter>();
    if level.is_err() && !filter.contains(['=', ',', ':']) {
        bail!("log = {filter:?} is neither error, warn, info, debug nor trace, nor a filter such as scrip=debug");
    }
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log = {filter:?} is not understood"))?;
    let json = match settings.get("log_format") {
        None => !std::io::stderr().is_terminal(),
        Some("json") => true,
        Some("text") => false,
        Some(other) => bail!("log_format must be text or json, not {other:?}"),
    };
    #[cfg(not(feature = "otlp"))]
    if settings.get("otlp_endpoint").is_some() {
        bail!("otlp_endpoint is set, and this program was built without traces: build it with --features otlp");
    }
    Ok((filter, json))
}

/// Logs to standard error.
pub fn log(settings: &Settings) -> Result<()> {
    let (filter, json) = log_settings(settings)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(super::traces::layer(settings)?);
    subscriber.try_init().map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

/// How to call this program from where it was called.
pub fn program() -> String {
    if std::env::var_os("CARGO").is_some() {
        return "cargo run -q --".to_owned();
    }
    std::env::args().next().unwrap_or_else(|| "scrip".to_owned())
}

/// Listens for being asked to stop, from now on: Ctrl-C, or a service manager's signal. What it answers comes true then.
#[cfg(unix)]
pub fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens for being asked to stop: Ctrl-C. What it answers comes true then.
#[cfg(not(unix))]
pub fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
