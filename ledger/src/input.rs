//! The limits of what people type: each check answers with the field and the limit.

use crate::{Credits, Minor};
use email_address::{EmailAddress, Options};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::refusal::Refusal;
use crate::time::Instant;

/// Characters in a name or a reference.
pub const NAME: usize = 255;
/// Characters in a note or a description.
pub const NOTE: usize = 2_000;
/// Bytes of JSON in metadata.
pub const METADATA: usize = 16 * 1024;
/// Tags on one customer.
pub const TAGS: usize = 50;

/// A text of 1 to `most` characters, trimmed.
pub fn text(field: &str, value: &str, most: usize) -> Result<String, Refusal> {
    let value = value.trim().replace("\r\n", "\n").nfc().collect::<String>();
    let length = value.chars().count();
    if length == 0 || length > most {
        return Err(Refusal::invalid(field, format!("Must have 1 to {most} characters; this has {length}.")));
    }
    if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Refusal::invalid(field, "Must not contain control characters."));
    }
    if value.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(Refusal::invalid(field, "Must have a character that can be seen."));
    }
    Ok(value)
}

/// Whether a character shows as nothing, or turns what is around it: Unicode's `Default_Ignorable_Code_Point`
/// (DerivedCoreProperties.txt), to which all of its bidirectional controls belong.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text that may be left out; an empty one counts as left out.
pub fn optional_text(field: &str, value: Option<&str>, most: usize) -> Result<Option<String>, Refusal> {
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    if let Some(length) = value.map(|value| value.chars().count()).filter(|length| *length > most) {
        return Err(Refusal::invalid(field, format!("Must have at most {most} characters; this has {length}.")));
    }
    value.map(|value| text(field, value, most)).transpose()
}

/// An amount of credits that one operation moves.
pub fn amount(field: &str, value: Credits) -> Result<Credits, Refusal> {
    if (Credits(1)..=Credits::MOST).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::invalid(field, "Must be a whole number from 1 to 1,000,000,000."))
    }
}

/// A number of units that are ordered.
pub fn quantity(field: &str, value: i64) -> Result<i64, Refusal> {
    if (1..=Credits::MOST.0).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::invalid(field, "Must be a whole number from 1 to 1,000,000,000."))
    }
}

/// What something cost.
pub fn cost(field: &str, value: Minor) -> Result<Minor, Refusal> {
    if (Minor::ZERO..=Minor::MOST).contains(&value) {
        Ok(value)
    } else {
        Err(Refusal::invalid(field, "Must be 0 to 1,000,000,000,000 minor units."))
    }
}

/// An amount with as many decimals as its currency has (ISO 4217's minor unit).
#[must_use]
pub fn decimal(minor: Minor, currency: &str) -> String {
    let places = iso_currency::Currency::from_code(currency).and_then(iso_currency::Currency::exponent).unwrap_or(0);
    let scale = 10_u64.pow(u32::from(places));
    let (sign, amount) = (if minor.0 < 0 { "-" } else { "" }, minor.0.unsigned_abs());
    match usize::from(places) {
        0 => format!("{sign}{amount}"),
        places => format!("{sign}{}.{:0places$}", amount / scale, amount % scale),
    }
}

/// An amount of money as people write it, such as `650.00`, in the minor unit of its currency.
pub fn money(field: &str, text: &str, currency: &str) -> Result<Minor, Refusal> {
    let known = iso_currency::Currency::from_code(currency);
    let places = known.and_then(iso_currency::Currency::exponent).map_or(2, usize::from);
    let refuse = || {
        let form = if places == 0 { "1250".to_owned() } else { format!("1250.{}", "5".repeat(places)) };
        Refusal::invalid(field, format!("Must be an amount of {currency} such as {form}, without separators."))
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > places {
        return Err(refuse());
    }
    format!("{whole}{part:0<places$}").parse().map(Minor).map_err(|_| refuse())
}

/// An e-mail address as RFC 5322 and 6531 have it, in NFC, lower-cased and trimmed; no quoted one, and none at an address in
/// brackets: the domain has a dot, or is `localhost`. None in which a letter
/// outside ASCII would become one of ASCII (U+212A, the sign of the kelvin, is no `k`), and none with what cannot be seen:
/// whoever has such an address is not whoever has the one that it looks like.
pub fn email(field: &str, value: &str) -> Result<String, Refusal> {
    let turns = |c: char| !c.is_ascii() && c.to_lowercase().any(|lower| lower.is_ascii());
    let is_another = value.chars().any(turns);
    let address = value.trim().nfc().collect::<String>().to_lowercase();
    let options = Options::default().without_display_text().without_domain_literal();
    let well_formed = address.len() <= 254
        && !is_another
        && !address.starts_with('"')
        && !address.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
        && EmailAddress::parse_with_options(&address, options)
            .is_ok_and(|parsed| parsed.domain().contains('.') || parsed.domain() == "localhost");
    if well_formed {
        Ok(address)
    } else {
        Err(Refusal::invalid(field, "Must be an e-mail address, such as ada@example.com."))
    }
}

/// Names in links that mean something else already.
const RESERVED: &[&str] = &[
    "admin", "api", "graphql", "graphiql", "health", "hooks", "live", "metrics", "orders", "portal", "ready", "scrip",
    "static", "www",
];

/// The name of an account or product in links.
pub fn slug(field: &str, value: &str) -> Result<String, Refusal> {
    let well_formed = (3..=40).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !well_formed {
        return Err(Refusal::invalid(field, "Must have 3 to 40 of the characters a-z, 0-9 and -."));
    }
    if RESERVED.contains(&value) {
        return Err(Refusal::invalid(field, "This word is reserved for the server's own addresses."));
    }
    Ok(value.to_owned())
}

/// A web address.
pub fn url(field: &str, value: &str) -> Result<String, Refusal> {
    let value = value.trim();
    let well_formed = value.len() <= 2_048
        && url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if well_formed {
        Ok(value.to_owned())
    } else {
        Err(Refusal::invalid(field, "Must be an address that begins with https:// or http://."))
    }
}

/// An IANA time zone.
pub fn time_zone(field: &str, value: &str) -> Result<String, Refusal> {
    value
        .parse::<chrono_tz::Tz>()
        .map(|zone| zone.name().to_owned())
        .map_err(|_| Refusal::invalid(field, "Must be an IANA time zone, such as Europe/Zurich."))
}

/// An ISO 4217 currency.
pub fn currency(field: &str, value: &str) -> Result<String, Refusal> {
    iso_currency::Currency::from_code(value)
        .map(|currency| currency.code().to_owned())
        .ok_or_else(|| Refusal::invalid(field, "Must be an ISO 4217 currency code, such as CHF."))
}

/// A language tag: letters, digits and hyphens, such as `de-CH`.
pub fn locale(field: &str, value: &str) -> Result<String, Refusal> {
    let value = value.trim();
    let well_formed = (2..=35).contains(&value.len())
        && value
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if well_formed {
        Ok(value.to_owned())
    } else {
        Err(Refusal::invalid(field, "Must be a language tag, such as de-CH."))
    }
}

/// A JSON object of limited size.
pub fn metadata(field: &str, value: Value) -> Result<Value, Refusal> {
    if !value.is_object() {
        return Err(Refusal::invalid(field, "Must be a JSON object."));
    }
    let bytes = value.to_string().len();
    if bytes > METADATA {
        return Err(Refusal::invalid(field, format!("Must be at most {METADATA} bytes of JSON; this is {bytes}.")));
    }
    if value.to_string().contains("\\u0000") {
        return Err(Refusal::invalid(field, "Must not contain the character U+0000."));
    }
    Ok(value)
}

/// Tags: trimmed, lower-cased, each once, sorted.
pub fn tags(field: &str, values: &[String]) -> Result<Vec<String>, Refusal> {
    let mut tags =
        values.iter().map(|tag| text(field, &tag.to_lowercase(), 64)).collect::<Result<Vec<_>, Refusal>>()?;
    tags.sort();
    tags.dedup();
    if tags.len() > TAGS {
        return Err(Refusal::invalid(field, format!("At most {TAGS} tags.")));
    }
    Ok(tags)
}

/// The last year that the ledger reckons with: beyond a hundred years from now, and within what every database, every
/// text of an instant and every calendar holds.
pub const LAST_YEAR: i32 = 2399;

/// An instant in the years that the ledger reckons with.
pub fn instant(field: &str, value: Instant) -> Result<Instant, Refusal> {
    use chrono::Datelike;
    if (1970..=LAST_YEAR).contains(&value.year()) {
        Ok(crate::time::truncate(value))
    } else {
        Err(Refusal::invalid(field, format!("Must be in the years 1970 to {LAST_YEAR}.")))
    }
}

/// An idempotency key.
pub fn key(field: &str, value: &str) -> Result<String, Refusal> {
    if (1..=255).contains(&value.chars().count()) && !value.chars().any(char::is_control) {
        Ok(value.to_owned())
    } else {
        Err(Refusal::invalid(field, "Must have 1 to 255 characters, none of them a control character."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_its_currency_s_decimals() {
        let written = |minor, currency| decimal(Minor(minor), currency);
        assert_eq!(written(1250, "CHF"), "12.50");
        assert_eq!(written(5, "USD"), "0.05");
        assert_eq!(written(1250, "JPY"), "1250");
        assert_eq!(written(1250, "BHD"), "1.250");
        assert_eq!(written(-1, "EUR"), "-0.01");
    }
}
