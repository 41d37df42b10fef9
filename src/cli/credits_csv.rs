//! Credits as CSV: the form that `import` reads and `export` writes.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use chrono::{NaiveDate, SecondsFormat};
use csv::StringRecord;
use entity::{Anchor, Credits, Expiration, Minor, PeriodUnit};

use crate::domain::Refusal;
use crate::domain::credits::opening::{Exported, Row};
use crate::domain::ground::clock::{Instant, truncate};
use crate::domain::reports::csv::is_formula;

/// The columns, in the order in which they are written.
const COLUMNS: [&str; 10] =
    ["customer", "credit_type", "amount", "expires", "cost", "currency", "effective", "priority", "note", "key"];
/// Those that must be there.
const NEEDED: [&str; 4] = ["customer", "credit_type", "amount", "key"];

/// Bytes of a row: far more than its texts may have.
const ROW: usize = 1024 * 1024;

/// A file of which one row is so long at most: a quote that is not closed takes in the rest.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let too_long = || std::io::Error::other("the row is longer than 1 MiB: perhaps a quote is not closed");
        self.left.set(self.left.get().checked_sub(read).ok_or_else(too_long)?);
        Ok(read)
    }
}

/// What stands on a line of the file: its key as far as it can be told, and the row, understood or refused.
pub struct Entry {
    pub line: u64,
    pub key: String,
    pub row: Result<Row, Refusal>,
}

/// The rows of a file. Fails if the file cannot be read at all.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let left = Rc::new(Cell::new(ROW));
    let file = Bounded { inner: file, left: left.clone() };
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let header = reader.headers();
    let header =
        header.with_context(|| format!("{} has no header in UTF-8. Save the file as UTF-8", path.display()))?;
    let header = header.clone();
    if header.is_empty() {
        bail!("{} has no header. Expected, in any order: {}", path.display(), COLUMNS.join(","));
    }
    if header.len() == 1 && header[0].contains([';', '\t']) {
        bail!("the columns must be parted by commas. Save the file as CSV with commas.");
    }
    let names = header.iter().map(|name| name.trim_start_matches('\u{feff}').to_lowercase()).collect::<Vec<_>>();
    let expected = COLUMNS.join(",");
    if let Some(unknown) = names.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        bail!("the header has an unknown column {unknown:?}. Expected, in any order: {expected}");
    }
    if let Some(missing) = NEEDED.iter().find(|needed| !names.iter().any(|name| name == *needed)) {
        bail!("the header lacks the column {missing:?}. Expected, in any order: {expected}");
    }
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        bail!("the header has the column {:?} twice", twice.1);
    }
    let mut rows = Vec::new();
    let mut record = StringRecord::new();
    loop {
        let line = reader.position().line();
        left.set(ROW);
        match reader.read_record(&mut record) {
            Ok(false) if rows.is_empty() => bail!("{} has no rows", path.display()),
            Ok(false) => return Ok(rows),
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                let key = get(&names, &record, "key").unwrap_or_default().to_owned();
                rows.push(Entry { line, key, row: row(&names, &record) });
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                let row = Err(Refusal::invalid("row", "Is not UTF-8 text. Save the file as UTF-8."));
                rows.push(Entry { line, key: String::new(), row });
            }
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read from line {line} on", path.display()));
            }
        }
    }
}

/// What a row has in a column; nothing where its fields are not those of the header.
fn get<'row>(names: &[String], record: &'row StringRecord, column: &str) -> Option<&'row str> {
    if record.len() != names.len() {
        return None;
    }
    let at = names.iter().position(|name| name == column)?;
    record.get(at).filter(|value| !value.is_empty())
}

fn row(names: &[String], record: &StringRecord) -> Result<Row, Refusal> {
    if record.len() != names.len() {
        let message = format!("Has {} fields, the header has {}.", record.len(), names.len());
        return Err(Refusal::invalid("row", message));
    }
    let get = |column: &str| get(names, record, column);
    let needed = |column: &str| get(column).ok_or_else(|| Refusal::invalid(column, "Must not be empty."));
    let whole = || Refusal::invalid("amount", "Must be a whole number from 1 to 1,000,000,000.");
    Ok(Row {
        customer: needed("customer")?.to_owned(),
        credit_type: needed("credit_type")?.to_owned(),
        amount: needed("amount")?.parse().map(Credits).map_err(|_| whole())?,
        expiration: get("expires").map(expiration).transpose()?,
        effective_at: get("effective").map(|text| instant("effective", text)).transpose()?,
        priority: get("priority").map(priority).transpose()?,
        cost: get("cost").map(str::to_owned),
        currency: get("currency").map(str::to_uppercase),
        note: get("note").map(str::to_owned),
        key: needed("key")?.to_owned(),
    })
}

fn priority(text: &str) -> Result<i16, Refusal> {
    text.parse().map_err(|_| Refusal::invalid("priority", "Must be 0 to 100. Lower is used first."))
}

fn instant(field: &str, text: &str) -> Result<Instant, Refusal> {
    let at = chrono::DateTime::parse_from_rfc3339(text).map(|at| truncate(at.to_utc()));
    at.map_err(|_| Refusal::invalid(field, "Must be an instant with its offset, such as 2026-03-31T16:30:00Z."))
}

/// `never`, a date, an instant, or `3 MONTH from FIRST_USE`.
fn expiration(text: &str) -> Result<Expiration, Refusal> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(Expiration::Never);
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Expiration::On(date));
    }
    if let Ok(at) = instant("expires", text) {
        return Ok(Expiration::At(at));
    }
    first_use(text).ok_or_else(|| {
        let message = "Must be empty (as the credit type says), never, a date such as 2026-03-31, an instant such as \
                       2026-03-31T16:30:00Z, or a period such as 3 MONTH from FIRST_USE.";
        Refusal::invalid("expires", message)
    })
}

fn first_use(text: &str) -> Option<Expiration> {
    let words = text.split_whitespace().collect::<Vec<_>>();
    let [count, unit, "from", "FIRST_USE"] = words[..] else { return None };
    let unit = UNITS.iter().find(|(_, name)| *name == unit)?.0;
    Some(Expiration::After { count: count.parse().ok()?, unit, from: Anchor::FirstUse })
}

const UNITS: [(PeriodUnit, &str); 4] =
    [(PeriodUnit::Day, "DAY"), (PeriodUnit::Week, "WEEK"), (PeriodUnit::Month, "MONTH"), (PeriodUnit::Year, "YEAR")];

/// A new file that only its owner reads.
pub fn private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes grants as rows.
pub struct Writer {
    csv: csv::Writer<File>,
    rows: u64,
    credits: i64,
    held: i64,
}

impl Writer {
    /// Begins a file.
    pub fn create(path: &Path) -> Result<Self> {
        // Whose credits these are is for nobody else on this machine.
        let file = private(path).with_context(|| format!("{} cannot be written", path.display()))?;
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(COLUMNS)?;
        Ok(Self { csv, rows: 0, credits: 0, held: 0 })
    }

    /// What is free of a grant, as a row.
    pub fn write(&mut self, exported: &Exported) -> csv::Result<()> {
        let Exported { grant, customer, credit_type } = exported;
        self.held += grant.held.0;
        if !grant.open {
            return Ok(());
        }
        self.rows += 1;
        self.credits += grant.remaining.0;
        let id = customer.id.to_string();
        // An external id that looks like an e-mail address may be somebody else's.
        let external_id = customer.external_id.as_ref().filter(|id| !id.contains('@'));
        // Nor is anything written that a spreadsheet would take for a formula: the row can be read again by its ids.
        let name = external_id.or(customer.email.as_ref()).filter(|name| !is_formula(name)).unwrap_or(&id);
        let type_id = credit_type.id.to_string();
        let type_name = Some(&credit_type.name).filter(|name| !is_formula(name)).unwrap_or(&type_id);
        let written = |at: Instant| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let expires = match (grant.expires_at, grant.policy_period()) {
            (Some(at), _) => written(at),
            (None, Some((count, unit, _))) => {
                let unit = UNITS.iter().find(|(known, _)| *known == unit).map_or("DAY", |(_, name)| name);
                format!("{count} {unit} from FIRST_USE")
            }
            (None, None) => "never".to_owned(),
        };
        let cost = if grant.promotional { String::new() } else { decimal(grant.cost_left, &grant.currency) };
        self.csv.write_record([
            name,
            type_name,
            &grant.remaining.to_string(),
            &expires,
            &cost,
            &grant.currency,
            &written(grant.effective_at),
            &grant.priority.to_string(),
            "",
            &grant.id.to_string(),
        ])
    }

    /// Ends the file; answers how many rows, credits, and held credits that are not in it.
    pub fn finish(mut self) -> Result<(u64, i64, i64)> {
        self.csv.flush()?;
        Ok((self.rows, self.credits, self.held))
    }
}

/// An amount as people write it, with its currency's decimals.
pub fn decimal(minor: Minor, currency: &str) -> String {
    let known = iso_currency::Currency::from_code(currency);
    let places = known.and_then(iso_currency::Currency::exponent).map_or(2, usize::from);
    let text = format!("{:0>width$}", minor.0, width = places + 1);
    let (whole, part) = text.split_at(text.len() - places);
    if places == 0 { whole.to_owned() } else { format!("{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ground::input;

    #[test]
    fn money_is_read_as_it_is_written() {
        let read = |text: &str, currency: &str| input::money("cost", text, currency);
        for (text, currency, amount) in
            [("650", "CHF", 65_000), ("0.5", "CHF", 50), ("1250", "JPY", 1250), ("1.25", "KWD", 1250)]
        {
            assert_eq!(read(text, currency), Ok(Minor(amount)));
            assert_eq!(read(&decimal(Minor(amount), currency), currency), Ok(Minor(amount)));
        }
        for wrong in ["", ".5", "1.234", "1,000", "-1", "1e3", "99999999999999999999"] {
            assert!(read(wrong, "CHF").is_err(), "{wrong}");
        }
    }

    /// A quote that is not closed takes in the rest of a file: it is not held in memory; a long file of short rows is read.
    #[test]
    fn a_row_is_bounded_and_a_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credits.csv");
        let rows = |count: usize, note: &str| {
            let rows = format!("k,ada@example.com,Class,1,{note}\n").repeat(count);
            std::fs::write(&path, format!("key,customer,credit_type,amount,note\n{rows}")).expect("written");
            read(&path)
        };
        let note = "n".repeat(1_000);
        assert_eq!(rows(3_000, &note).expect("read").len(), 3_000);
        let open = format!("\"{}", "n".repeat(2 * ROW));
        let refused = format!("{:#}", rows(1, &open).err().expect("refused"));
        assert!(refused.contains("longer than 1 MiB: perhaps a quote is not closed"), "{refused}");
    }

    #[test]
    fn every_form_of_an_end_is_read() {
        assert_eq!(expiration("never"), Ok(Expiration::Never));
        let date = NaiveDate::from_ymd_opt(2026, 3, 31).expect("a date");
        assert_eq!(expiration("2026-03-31"), Ok(Expiration::On(date)));
        let period = Expiration::After { count: 3, unit: PeriodUnit::Month, from: Anchor::FirstUse };
        assert_eq!(expiration("3 MONTH from FIRST_USE"), Ok(period));
        assert!(matches!(expiration("2026-03-31T16:30:00+02:00"), Ok(Expiration::At(_))));
        assert!(expiration("31.3.2026").is_err());
    }
}
