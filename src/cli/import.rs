//! `scrip import`: opening balances from a file. Rehearses first, and says of every row that is refused where and why.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use entity::Minor;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::account::meant;
use super::credits_csv::{self, Entry};
use super::house::{self, House};
use super::progress::bar;
use super::say;
use crate::config::Settings;
use crate::domain::credits;
use crate::domain::credits::opening::{self, CHUNK, Verdict};
use crate::domain::ledger::{Command, Issue};
use crate::domain::reports::csv::text;
use crate::domain::{Caller, Error, Refusal, Role, Scope};
use crate::worker::statistics;

/// Refused rows that are printed; the report has them all.
const SHOWN: usize = 20;
/// Rows that are under way at once: enough to fill the commits of every lane.
const AT_ONCE: usize = 2_048;

/// Read opening balances from a CSV file.
///
/// The first line names the columns, in any order: customer, `credit_type`, amount and key; expires, cost, currency,
/// effective, priority and note where they are wanted. Nothing is written without --apply.
#[derive(Args)]
pub struct Import {
    /// The file.
    file: PathBuf,
    /// The slug of the account; needed where there are several.
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
    /// Import the rows that nothing refuses. Rows that were imported before are left alone.
    #[arg(long)]
    apply: bool,
}

/// A row that was refused: its line in the file, its key, and why.
struct Refused {
    line: u64,
    key: String,
    refusal: Refusal,
}

/// What a rehearsal found.
#[derive(Default)]
struct Rehearsal {
    new: Vec<(u64, String, Box<Issue>)>,
    known: usize,
    refused: Vec<Refused>,
}

impl Import {
    pub async fn run(self, settings: Settings) -> Result<ExitCode> {
        let rows = credits_csv::read(&self.file)?;
        let house = House::open(&house::with_development(settings)?).await?;
        let account = meant(&house, self.account.as_deref()).await?;
        let staff = Caller::of(house.app.clone(), account.id, Role::Owner, "import");
        let mut found = rehearse(&staff, rows).await?;
        let credits = found.new.iter().map(|(_, _, issue)| issue.amount.0).sum::<i64>();
        say(format_args!(
            "{}: {} rows to import ({credits} credits), {} imported before, {} refused",
            account.slug,
            found.new.len(),
            found.known,
            found.refused.len()
        ));
        for (currency, cost) in costs(&found.new) {
            say(format_args!("  paid for them: {} {currency}", credits_csv::decimal(cost, &currency)));
        }
        let applied = if self.apply {
            let applying = apply(&staff, found.new, &mut found.refused);
            statistics::beside(&house.app, applying).await
        } else {
            Ok(())
        };
        house.app.close().await;
        report(&self.file, &mut found.refused)?;
        applied?;
        if !self.apply {
            say("Nothing was written. Run it again with --apply to import the rows that are not refused.");
        }
        Ok(if found.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What would become of every row.
async fn rehearse(staff: &Caller, rows: Vec<Entry>) -> Result<Rehearsal> {
    let bar = bar("Rehearsing", rows.len() as u64, "rows");
    let mut found = Rehearsal::default();
    let mut keys: HashMap<String, u64> = HashMap::new();
    let view = staff.view(Scope::StaffRead).await.map_err(house::said)?;
    for chunk in rows.chunks(CHUNK) {
        let mut good = Vec::new();
        for Entry { line, key, row } in chunk {
            match row {
                Err(refusal) => {
                    found.refused.push(Refused { line: *line, key: key.clone(), refusal: refusal.clone() });
                }
                Ok(row) => match keys.insert(row.key.clone(), *line) {
                    Some(first) => {
                        keys.insert(row.key.clone(), first);
                        let message = format!("Line {first} has this key already. Give each row a key of its own.");
                        let refusal = Refusal::invalid("key", message);
                        found.refused.push(Refused { line: *line, key: row.key.clone(), refusal });
                    }
                    None => good.push((*line, row.clone())),
                },
            }
        }
        let plain = good.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
        let verdicts = opening::rehearse(&view, &plain).await.map_err(house::said)?;
        for ((line, row), verdict) in good.into_iter().zip(verdicts) {
            match verdict {
                Verdict::New(issue) => found.new.push((line, row.key, issue)),
                Verdict::Known => found.known += 1,
                Verdict::Refused(refusal) => found.refused.push(Refused { line, key: row.key, refusal }),
            }
        }
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(found)
}

/// Issues the rows; those that are refused after all join the refused ones.
async fn apply(staff: &Caller, rows: Vec<(u64, String, Box<Issue>)>, refused: &mut Vec<Refused>) -> Result<()> {
    let bar = bar("Importing", rows.len() as u64, "rows");
    let (mut rows, mut running, mut imported) = (rows.into_iter(), FuturesUnordered::new(), 0_usize);
    loop {
        while running.len() < AT_ONCE
            && let Some((line, key, issue)) = rows.next()
        {
            running.push(async move {
                let outcome = credits::import(staff, Command::Issue(*issue), &key).await;
                (line, key, outcome)
            });
        }
        let Some((line, key, outcome)) = running.next().await else { break };
        match outcome {
            Ok(_) => imported += 1,
            Err(Error::Refused(refusal) | Error::RefusedBefore(refusal)) => {
                refused.push(Refused { line, key, refusal });
            }
            Err(error) => {
                bar.abandon();
                let rest = "Run the same command again: what is imported already is found, and nothing is done twice.";
                return Err(house::said(error).context(format!("line {line} could not be imported. {rest}")));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say(format_args!("Imported {imported} rows."));
    Ok(())
}

/// Says which rows were refused, and keeps them all in a report beside the file.
fn report(file: &Path, refused: &mut [Refused]) -> Result<()> {
    let beside = PathBuf::from(format!("{}.refused.csv", file.display()));
    if refused.is_empty() {
        // What an earlier run left there is not true any more.
        return match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} is of an earlier run and cannot be removed", beside.display()))
            }
            _ => Ok(()),
        };
    }
    refused.sort_by_key(|refused| refused.line);
    for refused in refused.iter().take(SHOWN) {
        let column = column(&refused.refusal);
        let separator = if column.is_empty() { "" } else { ": " };
        say(format_args!("  line {}: {column}{separator}{}", refused.line, message(&refused.refusal)));
    }
    if refused.len() > SHOWN {
        say(format_args!("  … and {} more", refused.len() - SHOWN));
    }
    let file = credits_csv::private(&beside).with_context(|| format!("{} cannot be written", beside.display()))?;
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["line", "key", "code", "column", "message"])?;
    for Refused { line, key, refusal } in refused.iter() {
        let said = [text(key), refusal.code().name().to_owned(), column(refusal), text(&message(refusal))];
        writer.write_record(std::iter::once(line.to_string()).chain(said))?;
    }
    writer.flush()?;
    say(format_args!("Every refused row is in {}.", beside.display()));
    Ok(())
}

/// The column that is to blame: what the API calls a field has a name of its own in the file.
fn column(refusal: &Refusal) -> String {
    let field = refusal.field().unwrap_or_default();
    let name = field.first().map(String::as_str).unwrap_or_default();
    match name {
        "customerId" => "customer",
        "creditTypeId" => "credit_type",
        "expiration" => "expires",
        "effectiveAt" => "effective",
        "idempotencyKey" => "key",
        name => name,
    }
    .to_owned()
}

/// Why a row was refused, in the words of a file.
fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::IdempotencyKeyReused => {
            "A row with this key was imported before, with other values. Give a new row a new key.".to_owned()
        }
        Refusal::NotFound { what, .. } => format!("There is no such {what}."),
        other => other.message(),
    }
}

/// What was paid for the rows, by currency.
fn costs(rows: &[(u64, String, Box<Issue>)]) -> BTreeMap<String, Minor> {
    let mut costs = BTreeMap::new();
    for cost in rows.iter().filter_map(|(_, _, issue)| issue.cost.as_ref()) {
        *costs.entry(cost.currency.clone()).or_default() += cost.minor;
    }
    costs
}

/// Write the free credits of an account as a file that `import` reads.
#[derive(Args)]
pub struct Export {
    /// The file to write; it must not be there yet.
    file: PathBuf,
    /// The slug of the account; needed where there are several.
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
}

impl Export {
    pub async fn run(self, settings: Settings) -> Result<()> {
        if self.file.exists() {
            bail!("{} is there already. Choose another name, or move it away.", self.file.display());
        }
        let house = House::open(&house::with_development(settings)?).await?;
        let account = meant(&house, self.account.as_deref()).await?;
        let staff = Caller::of(house.app.clone(), account.id, Role::Owner, "export");
        let unfinished = PathBuf::from(format!("{}.new", self.file.display()));
        let mut writer = credits_csv::Writer::create(&unfinished)?;
        let written = opening::export(&staff, |grants| {
            let mut rows = grants.iter();
            rows.try_for_each(|grant| writer.write(grant))
                .map_err(|error| Error::Internal(format!("the file cannot be written: {error}")))
        });
        written.await.map_err(house::said)?;
        let (rows, credits, held) = writer.finish()?;
        std::fs::rename(&unfinished, &self.file)
            .with_context(|| format!("{} could not get its name", self.file.display()))?;
        house.app.close().await;
        say(format_args!("{}: {rows} rows, {credits} credits in {}", account.slug, self.file.display()));
        if held > 0 {
            say(format_args!("{held} credits are held, and not in it: release or capture their holds first."));
        }
        Ok(())
    }
}
