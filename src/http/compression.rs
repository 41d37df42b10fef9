//! Answers over a kilobyte are compressed for who understands gzip; event streams never are, for they would wait in the
//! compressor. Nothing that comes in is inflated: a body says what it is, and compressed ones are refused.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{HeaderValue, header};
use poem::{Body, Response};

/// Bytes from which it is worth it.
const LEAST: usize = 1_024;
/// Bytes from which it is done away from the threads that serve.
const LARGE: usize = 128 * 1_024;

/// Whether a client takes gzip (RFC 9110, 12.5.3): named, or by a star, and not with a weight of zero.
pub fn is_accepted(header: Option<&str>) -> bool {
    let mut star = false;
    for part in header.unwrap_or_default().split(',') {
        let mut parameters = part.split(';').map(str::trim);
        let coding = parameters.next().unwrap_or_default();
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Ok(1.0_f32), str::parse);
        let wanted = weight.is_ok_and(|weight| weight > 0.0);
        if coding.eq_ignore_ascii_case("gzip") {
            return wanted;
        }
        star |= coding == "*" && wanted;
    }
    star
}

/// The same answer, compressed where that is worth it.
pub async fn compress(mut response: Response) -> Response {
    let kind = response.content_type().unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
    let texts = kind.starts_with("text/") && kind != "text/event-stream";
    let suits = texts || kind == "application/json" || kind == "application/graphql-response+json";
    if !suits || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Ok(bytes) = response.take_body().into_vec().await else { return response };
    if bytes.len() < LEAST {
        response.set_body(Body::from_vec(bytes));
        return response;
    }
    let compressed = if bytes.len() < LARGE {
        gzip(&bytes)
    } else {
        let copy = bytes.clone();
        tokio::task::spawn_blocking(move || gzip(&copy)).await.ok().flatten()
    };
    match compressed {
        Some(compressed) => {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.set_body(Body::from_vec(compressed));
        }
        None => response.set_body(Body::from_vec(bytes)),
    }
    response
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_takes_it() {
        for accepted in ["gzip", "deflate, gzip;q=0.5, br", "*", "GZIP", "br;q=1.0, *;q=0.1"] {
            assert!(is_accepted(Some(accepted)), "{accepted}");
        }
        for refused in ["", "br", "gzip;q=0", "gzip;q=0, *", "identity", "gzip;q=x", "*;q=0"] {
            assert!(!is_accepted(Some(refused)), "{refused}");
        }
        assert!(!is_accepted(None));
    }
}
