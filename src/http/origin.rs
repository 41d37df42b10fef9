//! Which pages may use the API from a browser (pure): those of this server, and of the origins that are allowed. Who is
//! no page sends no origin.

use poem::Request;
use poem::http::header;
use url::{Host, Url};

use super::rules::Rules;

/// Whether a request may.
pub fn is_allowed(request: &Request, rules: &Rules) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return true };
    let host = request.header(header::HOST).or_else(|| request.uri().host()).unwrap_or_default();
    let may = |origin: &str| may(origin, host, &rules.origins) || (rules.local_origins && is_local(origin));
    origin.to_str().is_ok_and(may)
}

fn may(origin: &str, host: &str, allowed: &[String]) -> bool {
    let of_this_server =
        origin.split_once("://").is_some_and(|(_, name)| !host.is_empty() && name.eq_ignore_ascii_case(host));
    of_this_server || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
}

/// Whether a page is served by this machine.
fn is_local(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_and_the_allowed_ones_may() {
        let allowed = vec!["https://app.example".to_owned()];
        assert!(may("https://scrip.example", "scrip.example", &allowed));
        assert!(may("http://127.0.0.1:8080", "127.0.0.1:8080", &[]));
        assert!(may("https://APP.example", "scrip.example", &allowed));
        assert!(!may("https://evil.example", "scrip.example", &allowed));
        assert!(!may("https://scrip.example.evil.example", "scrip.example", &allowed));
        assert!(!may("http://127.0.0.1:3000", "127.0.0.1:8080", &[]));
        assert!(!may("null", "", &[]));
    }

    #[test]
    fn a_name_that_only_begins_like_this_machine_s_is_not_local() {
        for origin in ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:4200"] {
            assert!(is_local(origin), "{origin}");
        }
        for origin in ["http://localhost.evil.example", "http://127.0.0.1.evil.example", "null", "file:///tmp/x"] {
            assert!(!is_local(origin), "{origin}");
        }
    }
}
