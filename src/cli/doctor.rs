//! `scrip doctor`: looks whether everything is as it must be, and says what to do where it is not.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use chrono::TimeDelta;
use clap::Args;

use super::house::{self, House};
use super::{doors, say};
use crate::config::Settings;
use crate::domain::accounts::key_set::KeySource;
use crate::domain::credits::verify;
use crate::domain::ground::clock::{Clock, SystemClock};
use crate::domain::storage::store::{Missing, Store};
use crate::domain::{Caller, Role, accounts};
use crate::gateway::Jwks;

/// By how much two machines' clocks may differ before it is worth a word, and before tokens and leases suffer.
const WORTH_A_WORD: TimeDelta = TimeDelta::seconds(1);
const TOO_MUCH: TimeDelta = TimeDelta::seconds(10);
/// Connections that one server keeps to PostgreSQL.
const POOLS: u32 = 19;
/// Files that a server needs beside one for each connection.
const FILES: u64 = 128;

#[derive(Args)]
pub struct Doctor {}

/// What was found so far.
#[derive(Default)]
struct Findings {
    good: u32,
    failed: u32,
    warned: u32,
}

impl Findings {
    fn good(&mut self, what: &str, said: impl Display) {
        self.good += 1;
        say(format_args!("ok    {what:<10} {said}"));
    }

    fn warn(&mut self, what: &str, said: impl Display) {
        self.warned += 1;
        say(format_args!("warn  {what:<10} {said}"));
    }

    fn fail(&mut self, what: &str, said: impl Display) {
        self.failed += 1;
        say(format_args!("FAIL  {what:<10} {said}"));
    }
}

impl Doctor {
    pub async fn run(&self, file: Option<&Path>) -> Result<ExitCode> {
        let mut findings = Findings::default();
        let settings = check_settings(file, &mut findings);
        if let Some(settings) = &settings {
            check_identity(settings, &mut findings).await;
        }
        if let Some(settings) = settings
            && let Some(store) = check_database(&settings, &mut findings).await
        {
            check_clock(&store, &mut findings).await;
            check_tables(&settings, store, &mut findings).await;
        }
        let Findings { good, failed, warned } = findings;
        if failed > 0 {
            say(format_args!("{failed} must be put right before this serves."));
            return Ok(ExitCode::FAILURE);
        }
        let warned = if warned > 0 { format!(" {warned} worth a look.") } else { String::new() };
        say(format_args!("Ready to serve. {good} good.{warned}"));
        Ok(ExitCode::SUCCESS)
    }
}

fn check_settings(file: Option<&Path>, findings: &mut Findings) -> Option<Settings> {
    let read = Settings::read(file, &[]).and_then(house::with_development);
    let settings = match read {
        Ok(settings) => settings,
        Err(error) => {
            findings.fail("settings", format_args!("{error:#}"));
            return None;
        }
    };
    let mut wrong = Vec::new();
    for name in ["signing_secret", "ledger_key"] {
        wrong.extend(settings.secret(name).err());
    }
    if settings.get("signing_secret").is_some() && settings.get("signing_secret") == settings.get("ledger_key") {
        findings.warn(
            "settings",
            "signing_secret and ledger_key are the same: whoever may make tokens could sign the ledger",
        );
    }
    let rules = doors::rules(&settings);
    if let Ok(rules) = &rules {
        check_files(rules.connections as u64, findings);
    }
    wrong.extend(rules.err());
    wrong.extend(house::log_settings(&settings).err());
    wrong.extend(doors::identity(&settings).err());
    for name in ["listen", "metrics_listen"] {
        wrong.extend(check_address(&settings, name, findings).err());
    }
    if wrong.is_empty() {
        findings.good("settings", "all are understood; `scrip config print` shows them");
        return Some(settings);
    }
    for error in wrong {
        findings.fail("settings", format_args!("{error:#}"));
    }
    None
}

/// Tries to listen. An address that is taken may be taken by the server itself.
fn check_address(settings: &Settings, name: &str, findings: &mut Findings) -> Result<()> {
    let Some(address) = settings.get(name) else { return Ok(()) };
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            findings.warn("settings", format_args!("{name}: somebody listens at {address}; good if it is this server"));
            Ok(())
        }
        Err(error) => bail!("{name}: nobody can listen at {address:?}: {error}"),
    }
}

/// Asks the identity provider for its keys.
async fn check_identity(settings: &Settings, findings: &mut Findings) {
    let Some(url) = settings.get("identity_jwks_url") else { return };
    match Jwks::new(url) {
        Ok(source) => match source.fetch().await {
            Ok(_) => findings.good("identity", "the provider answers"),
            Err(why) => findings.warn("identity", format_args!("the provider's keys cannot be read: {why}")),
        },
        Err(why) => findings.fail("identity", why),
    }
}

/// Each connection is a file to the machine.
fn check_files(connections: u64, findings: &mut Findings) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let allowed = line.and_then(|line| line.split_whitespace().nth(3)).and_then(|number| number.parse::<u64>().ok());
    match allowed {
        Some(allowed) if allowed < connections + FILES => findings.warn(
            "files",
            format_args!(
                "{allowed} may be open, and max_connections is {connections}: raise it (LimitNOFILE=, ulimit -n)"
            ),
        ),
        Some(allowed) => findings.good("files", format_args!("{allowed} may be open")),
        None => {}
    }
}

async fn check_database(settings: &Settings, findings: &mut Findings) -> Option<Store> {
    let store = match house::store(settings, Missing::Refuse, Arc::new(SystemClock)).await {
        Ok(store) => store,
        Err(error) => {
            findings.fail("database", format_args!("{error:#}"));
            return None;
        }
    };
    // Connecting has refused one that would forget what it acknowledged.
    findings.good("database", "answers, and keeps what it acknowledges: flushed at each commit");
    match store.connections_allowed().await {
        Ok(Some(allowed)) if allowed < POOLS => {
            findings.warn("database", format_args!("max_connections is {allowed}; one server opens up to {POOLS}"));
        }
        Err(error) => findings.fail("database", house::said(error)),
        Ok(_) => {}
    }
    #[cfg(unix)]
    if let Some(path) = settings.get("database_url").and_then(house::sqlite_file)
        && let Ok(about) = path.metadata()
        && std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077 != 0
    {
        findings.warn("database", format_args!("others on this machine may read {0}: chmod 600 {0}", path.display()));
    }
    Some(store)
}

async fn check_clock(store: &Store, findings: &mut Findings) {
    let now = SystemClock.now();
    match store.clock_ahead().await {
        Err(error) => findings.fail("clock", house::said(error)),
        Ok(ahead) if ahead.abs() > TOO_MUCH => findings.fail(
            "clock",
            format_args!(
                "this machine's and the database's differ by {} s: let both follow one (NTP)",
                ahead.num_seconds()
            ),
        ),
        Ok(ahead) if ahead.abs() > WORTH_A_WORD => findings
            .warn("clock", format_args!("this machine's and the database's differ by {} ms", ahead.num_milliseconds())),
        Ok(_) => {
            findings.good("clock", format_args!("it is {}, and the database agrees", now.format("%Y-%m-%dT%H:%M:%SZ")));
        }
    }
}

async fn check_tables(settings: &Settings, store: Store, findings: &mut Findings) {
    match store.pending_migrations().await {
        Err(error) => return findings.fail("tables", house::said(error)),
        Ok(0) => {}
        Ok(pending) => {
            return findings.fail("tables", format_args!("{pending} migration(s) behind: run `scrip migrate`"));
        }
    }
    match store.differences().await {
        Err(error) => return findings.fail("tables", house::said(error)),
        Ok(differences) if differences.is_empty() => {
            findings.good("tables", "up to date, and as the migrations make them");
        }
        Ok(differences) => {
            for what in differences.iter().take(10) {
                findings.fail("tables", what);
            }
            say("      Somebody altered the tables. Find out who and why, and put them back, or restore a copy.");
        }
    }
    if let Err(error) = accounts::assert_ledger_key(&store).await {
        return findings.fail("ledger", house::said(error));
    }
    let house = match House::start(settings, store) {
        Ok(house) => house,
        Err(error) => return findings.fail("settings", format_args!("{error:#}")),
    };
    let sampled = sample(&house).await;
    house.app.close().await;
    match sampled {
        Err(error) => findings.fail("ledger", format_args!("{error:#}")),
        Ok((_, _, found)) if !found.is_empty() => {
            for what in found.iter().take(10) {
                findings.fail("ledger", what);
            }
            say("      Keep a copy of the database before you do anything else, and run `scrip verify`.");
        }
        Ok((accounts, wallets, _)) => findings.good(
            "ledger",
            format_args!("{wallets} wallets of {accounts} account(s), taken at random, are what was written"),
        ),
    }
}

/// Verifies some wallets of each account; answers how many of each there were, and what was found.
async fn sample(house: &House) -> Result<(usize, u64, Vec<String>)> {
    let accounts = accounts::all(&Caller::operator(house.app.clone(), "cli")).await.map_err(house::said)?;
    let (mut wallets, mut found) = (0, Vec::new());
    for account in &accounts {
        let staff = Caller::of(house.app.clone(), account.id, Role::Staff, "cli");
        let report = verify::sample(&staff).await.map_err(house::said)?;
        wallets += report.wallets;
        found.extend(report.findings.into_iter().map(|finding| format!("{}: {}", account.slug, finding.what)));
    }
    Ok((accounts.len(), wallets, found))
}
