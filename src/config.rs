//! Settings: default < `scrip.toml` < environment < flag.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use secrecy::SecretString;

/// One setting, under the name that it has in the file. In the environment it is `SCRIP_` and the name in capitals.
struct Key {
    name: &'static str,
    default: Option<&'static str>,
    secret: bool,
    about: &'static str,
}

const fn key(name: &'static str, default: Option<&'static str>, about: &'static str) -> Key {
    Key { name, default, secret: false, about }
}

const KEYS: &[Key] = &[
    key("database_url", None, "where the data is: sqlite:PATH or postgres://…"),
    key("listen", Some("127.0.0.1:8080"), "the address that the server listens at"),
    key("commands_per_commit", Some("256"), "at most so many commands of the ledger in one commit: 1 to 256"),
    key("whole_wallet_grants", Some("128"), "open grants up to which a wallet is read whole, else in part: 1 to 65535"),
    key("accounts_apart", None, "true: one account's commands in a commit, for a PostgreSQL sharded by account"),
    Key { secret: true, ..key("signing_secret", None, "signs tokens: 32 bytes or more") },
    Key { secret: true, ..key("ledger_key", None, "signs the ledger: 32 bytes or more; never changes") },
    key("token_issuer", Some("scrip"), "what stands in a token's iss"),
    key("token_audience", Some("scrip"), "what stands in a token's aud"),
    key("identity_jwks_url", None, "where your identity provider has its public keys; its tokens are then good here"),
    key("identity_issuer", None, "what stands in their iss"),
    key("identity_audience", None, "what stands in their aud"),
    key("identity_roles_claim", Some("role"), "the claim with the role: a text or a list; dots lead into objects"),
    key(
        "identity_roles",
        Some("owner=owner, staff=staff, customer=customer"),
        "which of your words gives which role, the mightiest first; * is anyone else",
    ),
    key("identity_account_claim", Some("account"), "the claim with the account's id"),
    key("identity_account", None, "the account of tokens that name none: its id"),
    key("identity_customer_claim", Some("customer"), "the claim that leads to the customer"),
    key("identity_customer_by", Some("id"), "how it does: id, externalId, or email (if email_verified)"),
    key("limit_caller", Some("100000"), "points a second that one caller may spend; 0 is without limit"),
    key("limit_address", Some("200000"), "points a second that one address may spend; 0 is without limit"),
    key("limit_public", Some("1000"), "points a second that one address may spend without a token"),
    key(
        "trusted_proxies",
        Some("127.0.0.1, ::1"),
        "addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
    ),
    key(
        "max_operations",
        Some("256"),
        "operations that run at once; twice as many wait a moment, the rest hears UNAVAILABLE",
    ),
    key("max_connections", Some("8192"), "connections at once"),
    key("max_streams", Some("5000"), "sockets and event streams at once"),
    key("documents", Some("off"), "trusted documents: off, allow (known by id) or require (nothing else runs)"),
    key("documents_file", None, "the manifest of trusted documents: JSON, of ids and texts"),
    key("drain_seconds", Some("0"), "how long /health/ready says no before no more is taken, when asked to stop"),
    key("metrics_listen", None, "the address at which /metrics answers, such as 127.0.0.1:9090"),
    key("otlp_endpoint", None, "where traces are sent by OTLP over HTTP (a build with the feature otlp)"),
    key("webhook_private", Some("false"), "whether webhooks may be posted to private addresses: true or false"),
    key(
        "allowed_origins",
        None,
        "the origins of pages that may use the API from a browser, with commas between; its own always may",
    ),
    key("log", None, "which messages are logged: error, warn, info, debug, or a filter by module"),
    key("log_format", None, "text or json; text on a terminal if left out"),
];

/// The least bytes of a secret.
pub const SECRET: usize = 32;
/// The file that is read if it is there.
const FILE: &str = "scrip.toml";
/// The variable that names another file.
const FILE_VARIABLE: &str = "SCRIP_CONFIG";

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Made by `scrip dev`.
    Development,
    File(PathBuf),
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Development => f.write_str("development"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The settings, each with where it came from.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<&'static str, (String, Origin)>);

impl Settings {
    /// Reads all sources. `flags` win.
    pub fn read(file: Option<&Path>, flags: &[(&'static str, Option<String>)]) -> Result<Self> {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_sources(file, variables, flags)
    }

    fn from_sources(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Self> {
        let mut settings = Self::default();
        for key in KEYS {
            if let Some(default) = key.default {
                settings.0.insert(key.name, (default.to_owned(), Origin::Default));
            }
        }
        let mut variables: BTreeMap<_, _> =
            variables.filter(|(name, _)| name.starts_with("SCRIP_") && !is_of_a_cluster(name)).collect();
        let named = file.map(Path::to_path_buf).or_else(|| variables.remove(FILE_VARIABLE).map(PathBuf::from));
        settings.read_file(named)?;
        for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
            let key = known(&name.trim_start_matches("SCRIP_").to_lowercase()).map_err(|nearest| {
                anyhow::anyhow!(
                    "there is no setting {name}{}",
                    did_you_mean(nearest, |key| format!("SCRIP_{}", key.to_uppercase()))
                )
            })?;
            settings.0.insert(key, (value, Origin::Environment));
        }
        for (name, value) in flags {
            if let Some(value) = value {
                settings.0.insert(name, (value.clone(), Origin::Flag));
            }
        }
        Ok(settings)
    }

    fn read_file(&mut self, named: Option<PathBuf>) -> Result<()> {
        let path = match named {
            Some(path) => path,
            None if Path::new(FILE).is_file() => PathBuf::from(FILE),
            None => return Ok(()),
        };
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("the settings file {} cannot be read", path.display()))?;
        // The parser's own message would repeat the line, and with it a secret.
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            anyhow::anyhow!("{} is not valid TOML near line {line}: {}", path.display(), error.message())
        })?;
        for (name, value) in table {
            let key = known(&name).map_err(|nearest| {
                anyhow::anyhow!("{} has no setting {name}{}", path.display(), did_you_mean(nearest, str::to_owned))
            })?;
            let toml::Value::String(value) = value else {
                bail!("{}: {name} must be a text in quotes", path.display())
            };
            self.0.insert(key, (value, Origin::File(path.clone())));
        }
        Ok(())
    }

    /// A setting, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A setting that is a list with commas between.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        let parts = self.get(name).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// A setting that is a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let text = self.get(name).unwrap_or_default();
        text.trim().parse().map_err(|_| anyhow::anyhow!("{name} must be a whole number of 0 or more, not {text:?}"))
    }

    /// A setting that is true or false.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(other) => bail!("{name} must be true or false, not {other:?}"),
        }
    }

    /// A secret of [`SECRET`] bytes or more.
    pub fn secret(&self, name: &str) -> Result<SecretString> {
        let variable = format!("SCRIP_{}", name.to_uppercase());
        let about = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.about);
        match self.get(name) {
            Some(value) if value.len() >= SECRET => Ok(SecretString::from(value)),
            Some(value) => bail!(
                "{name} has {} bytes, and needs {SECRET} or more ({about}).\nMake one:  export {variable}=$(openssl rand -hex 32)",
                value.len()
            ),
            None => bail!("{name} is not set ({about}).\nMake one:  export {variable}=$(openssl rand -hex 32)"),
        }
    }

    /// Sets what development brings along, whatever is set.
    pub fn develop(&mut self, name: &'static str, value: String) {
        self.0.insert(name, (value, Origin::Development));
    }
}

/// Every setting and where it came from, as `scrip.toml` would hold it; secrets are masked.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in KEYS {
            match self.0.get(key.name) {
                None => writeln!(f, "# {} is not set: {}", key.name, key.about)?,
                Some((value, origin)) => {
                    let shown = if key.secret { mask(value) } else { without_password(value) };
                    writeln!(f, "{} = {shown:?}  # {origin}: {}", key.name, key.about)?;
                }
            }
        }
        Ok(())
    }
}

fn mask(secret: &str) -> String {
    format!("({} bytes, not shown)", secret.len())
}

/// A URL without the password that may stand in it.
#[must_use]
pub fn without_password(text: &str) -> String {
    const HIDDEN: &str = "(not shown)";
    let Ok(mut url) = url::Url::parse(text) else {
        // What cannot be read may hold a password where nobody looks for one.
        return if text.contains("://") { HIDDEN.to_owned() } else { text.to_owned() };
    };
    if url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password")) {
        return HIDDEN.to_owned();
    }
    if url.password().is_none() {
        return text.to_owned();
    }
    url.set_password(Some("***")).map_or_else(|()| HIDDEN.to_owned(), |()| url.to_string())
}

/// Kubernetes tells each container of a service called `scrip` where it is, under names that begin like ours.
fn is_of_a_cluster(name: &str) -> bool {
    name == "SCRIP_PORT" || name.starts_with("SCRIP_PORT_") || name.starts_with("SCRIP_SERVICE_")
}

/// The key of a name, or the nearest one there is.
fn known(name: &str) -> Result<&'static str, Option<&'static str>> {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => Ok(key.name),
        None => Err(KEYS
            .iter()
            .map(|key| (strsim::damerau_levenshtein(key.name, name), key.name))
            .min()
            .filter(|(distance, _)| *distance <= 5)
            .map(|(_, name)| name)),
    }
}

fn did_you_mean(nearest: Option<&str>, write: impl Fn(&str) -> String) -> String {
    match nearest {
        Some(name) => format!("; did you mean {}?", write(name)),
        None => format!("; there are {}", KEYS.iter().map(|key| write(key.name)).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        file: Option<&str>,
        variables: &[(&str, &str)],
        flags: &[(&'static str, Option<String>)],
    ) -> Result<Settings> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scrip.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).expect("a file");
        }
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_sources(file.map(|_| path.as_path()), variables, flags)
    }

    #[test]
    fn the_nearer_source_wins() {
        let file = Some("listen = \"a\"\nlog = \"warn\"\ntoken_issuer = \"file\"");
        let variables = [("SCRIP_LISTEN", "b"), ("SCRIP_LOG", "debug"), ("HOME", "/")];
        let settings = read(file, &variables, &[("listen", Some("c".to_owned())), ("log", None)]).expect("settings");
        let found = ["listen", "log", "token_issuer", "token_audience"].map(|name| settings.get(name));
        assert_eq!(found, [Some("c"), Some("debug"), Some("file"), Some("scrip")]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        let wrong = |result: Result<Settings>| result.err().expect("refused").to_string();
        assert!(wrong(read(Some("lisen = \"a\""), &[], &[])).ends_with("has no setting lisen; did you mean listen?"));
        let message = wrong(read(None, &[("SCRIP_DATABSE_URL", "a")], &[]));
        assert_eq!(message, "there is no setting SCRIP_DATABSE_URL; did you mean SCRIP_DATABASE_URL?");
        assert!(wrong(read(Some("xyzzyxyzzyxyzzy = \"a\""), &[], &[])).contains("there are database_url, listen"));
    }

    #[test]
    fn what_a_cluster_sets_by_itself_is_left_alone() {
        let variables =
            [("SCRIP_PORT", "tcp://10.0.0.1:8080"), ("SCRIP_SERVICE_HOST", "10.0.0.1"), ("SCRIP_PORT_8080_TCP", "x")];
        assert!(read(None, &variables, &[]).is_ok());
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        let short = read(None, &[("SCRIP_SIGNING_SECRET", "too short")], &[]).expect("settings");
        assert!(short.secret("signing_secret").expect_err("refused").to_string().contains("openssl rand -hex 32"));
        assert!(short.secret("ledger_key").is_err());
        let secret = "0123456789abcdef0123456789abcdef";
        let variables = [("SCRIP_SIGNING_SECRET", secret), ("SCRIP_DATABASE_URL", "postgres://me:hunter2@db/scrip")];
        let settings = read(None, &variables, &[]).expect("settings");
        assert!(settings.secret("signing_secret").is_ok());
        let shown = settings.to_string();
        assert!(!shown.contains(secret) && !shown.contains("hunter2") && shown.contains("me:***@db"), "{shown}");
    }

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        for url in [
            "postgres://me:hunter2@db/scrip",
            "postgres://me:hunter2#x@db/scrip",
            "postgres://db/scrip?password=hunter2",
        ] {
            assert!(!without_password(url).contains("hunter2"), "{}", without_password(url));
        }
        assert_eq!(without_password("sqlite:./scrip.db"), "sqlite:./scrip.db");
    }

    #[test]
    fn a_broken_file_is_named_without_repeating_it() {
        let message = read(Some("signing_secret = \"hush\nx"), &[], &[]).err().expect("refused").to_string();
        assert!(message.contains("is not valid TOML near line") && !message.contains("hush"), "{message}");
    }
}
