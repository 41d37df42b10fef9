//! What the settings say of the doors: what they let through, and whose tokens are good.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;

use crate::config::Settings;
use crate::domain::accounts::identity::{Claims, CustomerBy, Identity, IdentityRole};
use crate::gateway::Jwks;
use crate::http::{Documents, Rules, Trust};

/// What the doors let through.
pub fn rules(settings: &Settings) -> Result<Rules> {
    let trust = match settings.get("documents") {
        None | Some("off") => Trust::Off,
        Some("allow") => Trust::Allow,
        Some("require") => Trust::Require,
        Some(other) => bail!("documents must be off, allow or require, not {other:?}"),
    };
    let proxies = settings.list("trusted_proxies").iter().map(|text| network(text)).collect::<Result<Vec<_>>>()?;
    let origins = settings.list("allowed_origins");
    for origin in &origins {
        let parsed = url::Url::parse(origin).ok().filter(|url| url.origin().ascii_serialization() == *origin);
        if parsed.is_none() {
            bail!(
                "allowed_origins: {origin:?} is no origin, such as https://app.example.com: scheme and host, no path"
            );
        }
    }
    let rules = Rules {
        origins,
        local_origins: false,
        per_caller: settings.number("limit_caller")?,
        per_address: settings.number("limit_address")?,
        per_stranger: settings.number("limit_public")?,
        proxies,
        documents: Documents::read(trust, settings.get("documents_file").map(Path::new))?,
        at_once: settings.number("max_operations")?,
        connections: settings.number("max_connections")?,
        streams: settings.number("max_streams")?,
        drain: Duration::from_secs(settings.number("drain_seconds")?),
    };
    for (name, most) in
        [("max_operations", rules.at_once), ("max_connections", rules.connections), ("max_streams", rules.streams)]
    {
        if !(1..=1_000_000).contains(&most) {
            bail!("{name} must be 1 to 1000000, not {most}");
        }
    }
    Ok(rules)
}

/// An address, or a network with its length.
fn network(text: &str) -> Result<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| address());
    network.map_err(|_| {
        anyhow::anyhow!("trusted_proxies: {text:?} is neither an address nor a network such as 10.0.0.0/8")
    })
}

/// The identity provider whose tokens are good, if one is set.
pub fn identity(settings: &Settings) -> Result<Option<Identity>> {
    let Some(url) = settings.get("identity_jwks_url") else {
        // Whoever says what its tokens look like means them to be good.
        for name in ["identity_issuer", "identity_audience", "identity_account"] {
            if settings.get(name).is_some() {
                bail!("{name} is set and identity_jwks_url is not: where are your identity provider's keys?");
            }
        }
        return Ok(None);
    };
    let needed = |name: &str| {
        let value = settings.get(name).map(str::to_owned);
        value.with_context(|| {
            format!("identity_jwks_url is set and {name} is not: a token must be meant for this server")
        })
    };
    let only_account = settings.get("identity_account").map(|id| {
        id.parse()
            .map_err(|_| anyhow::anyhow!("identity_account must be an account's id (acc_…): `scrip account list`"))
    });
    let customer_by = match settings.get("identity_customer_by") {
        None | Some("id") => CustomerBy::Id,
        Some("externalId") => CustomerBy::ExternalId,
        Some("email") => CustomerBy::Email,
        Some(other) => bail!("identity_customer_by must be id, externalId or email, not {other:?}"),
    };
    let claims = Claims {
        issuer: needed("identity_issuer")?,
        audience: needed("identity_audience")?,
        role: settings.get("identity_roles_claim").unwrap_or_default().to_owned(),
        roles: settings.list("identity_roles").iter().map(|pair| role(pair)).collect::<Result<_>>()?,
        account: settings.get("identity_account_claim").unwrap_or_default().to_owned(),
        only_account: only_account.transpose()?,
        customer: settings.get("identity_customer_claim").unwrap_or_default().to_owned(),
        customer_by,
    };
    let source = Jwks::new(url).map_err(|why| anyhow::anyhow!("identity_jwks_url: {why}"))?;
    Ok(Some(Identity::new(Arc::new(source), claims)))
}

/// `staff=coach`: the provider's word `coach` gives the role of staff.
fn role(pair: &str) -> Result<(IdentityRole, String)> {
    let (name, word) = pair.split_once('=').map_or((pair, ""), |(name, word)| (name.trim(), word.trim()));
    let role = match name {
        "owner" => IdentityRole::Owner,
        "staff" => IdentityRole::Staff,
        "customer" => IdentityRole::Customer,
        _ => bail!("identity_roles: {pair:?} must be owner=WORD, staff=WORD or customer=WORD"),
    };
    if word.is_empty() {
        bail!("identity_roles: {pair:?} names no word of your provider's");
    }
    if word == "*" && role != IdentityRole::Customer {
        bail!("identity_roles: anyone else (*) can be a customer only");
    }
    Ok((role, word.to_owned()))
}
