//! Which pages may open live updates (pure): those of this server, and of the origins that are allowed. Who is no page
//! sends no origin.

use poem::Request;
use poem::http::header;

/// Whether a request may.
pub fn is_allowed(request: &Request, allowed: &[String]) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return true };
    let host = request.header(header::HOST).or_else(|| request.uri().host()).unwrap_or_default();
    origin.to_str().is_ok_and(|origin| may(origin, host, allowed))
}

fn may(origin: &str, host: &str, allowed: &[String]) -> bool {
    let of_this_server =
        origin.split_once("://").is_some_and(|(_, name)| !host.is_empty() && name.eq_ignore_ascii_case(host));
    of_this_server || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
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
}
