//! Reports as CSV files, for spreadsheets and bookkeeping: a header, one line each, money in minor units and as people
//! write it.

use std::collections::HashMap;

use chrono::SecondsFormat;
use entity::{CreditTypeId, CustomerId};

use super::{Flow, Grouping, Liability, Stretch, Sum};
use crate::catalog::credit_types;
use crate::customers;
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::ground::input;
use crate::reports;
use crate::storage::tx::View;

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Liability { as_of: Option<Instant> },
    Breakage(Stretch),
    Consumption(Stretch, Grouping),
}

/// A report as a CSV file.
pub async fn report(view: &View, report: Report) -> Result<String> {
    match report {
        Report::Liability { as_of } => {
            let (as_of, lines) = reports::liability(view, as_of).await?;
            let names = names(view, lines.iter().map(|line| line.credit_type)).await?;
            liability(as_of, &lines, &names)
        }
        Report::Breakage(stretch) => {
            let lines = reports::breakage(view, stretch).await?;
            flows(view, &lines).await
        }
        Report::Consumption(stretch, by) => {
            let lines = reports::consumption(view, stretch, by).await?;
            flows(view, &lines).await
        }
    }
}

async fn names(view: &View, ids: impl Iterator<Item = CreditTypeId>) -> Result<HashMap<CreditTypeId, String>> {
    let found = credit_types::by_ids(view, &ids.collect::<Vec<_>>()).await?;
    Ok(found.into_iter().map(|(id, row)| (id, row.name)).collect())
}

fn liability(as_of: Instant, lines: &[Liability], names: &HashMap<CreditTypeId, String>) -> Result<String> {
    let mut header = vec!["as_of", "credit_type_id", "credit_type", "currency"];
    let pools = ["sold", "deferred", "earned", "breakage", "voided", "reduced", "losses"];
    let columns =
        pools.iter().flat_map(|pool| [format!("{pool}_credits"), format!("{pool}_minor"), (*pool).to_owned()]);
    let columns = columns.collect::<Vec<_>>();
    header.extend(columns.iter().map(String::as_str));
    header.extend(["refunded_minor", "refunded"]);
    let rows = lines.iter().map(|line| {
        let name = names.get(&line.credit_type).map(|name| text(name)).unwrap_or_default();
        let mut row = vec![written(as_of), line.credit_type.to_string(), name, line.currency.clone()];
        let pools = [line.sold, line.deferred, line.earned, line.breakage, line.voided, line.reduced, line.losses];
        for sum in pools {
            row.extend(figures(sum, &line.currency));
        }
        row.extend([line.refunded.to_string(), input::decimal(line.refunded, &line.currency)]);
        row
    });
    file(&header, rows)
}

async fn flows(view: &View, lines: &[Flow]) -> Result<String> {
    let names = names(view, lines.iter().map(|line| line.credit_type)).await?;
    let people = lines.iter().filter_map(|line| line.customer).collect::<Vec<_>>();
    let mut customers_by_id = HashMap::new();
    for ids in people.chunks(1_000) {
        customers_by_id.extend(customers::by_ids(view, ids).await?);
    }
    let header =
        ["from", "credit_type_id", "credit_type", "customer_id", "customer", "currency", "credits", "minor", "amount"];
    let rows = lines.iter().map(|line| {
        let customer = |id: &CustomerId| customers_by_id.get(id).map(|row| text(&row.name)).unwrap_or_default();
        let mut row = vec![
            line.from.map(written).unwrap_or_default(),
            line.credit_type.to_string(),
            names.get(&line.credit_type).map(|name| text(name)).unwrap_or_default(),
            line.customer.map(|id| id.to_string()).unwrap_or_default(),
            line.customer.as_ref().map(customer).unwrap_or_default(),
            line.currency.clone(),
        ];
        row.extend(figures(line.sum, &line.currency));
        row
    });
    file(&header, rows)
}

/// A text that no spreadsheet takes for a formula.
#[must_use]
pub fn text(value: &str) -> String {
    if is_formula(value) { format!("'{value}") } else { value.to_owned() }
}

/// Whether a spreadsheet would take a text for a formula.
#[must_use]
pub fn is_formula(value: &str) -> bool {
    value.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

fn written(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn figures(sum: Sum, currency: &str) -> [String; 3] {
    [sum.credits.to_string(), sum.cost.to_string(), input::decimal(sum.cost, currency)]
}

fn file(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal(format!("a report could not be written: {error}"));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|error| failed(&error))?;
    for row in rows {
        writer.write_record(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
