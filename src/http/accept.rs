//! Content negotiation (RFC 9110, 12.5.1) among the media types of a GraphQL response (pure).

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: what clients got before there was a specification.
    Json,
    /// `application/graphql-response+json`: the status code speaks of the request too.
    GraphQL,
    /// `text/event-stream`: one answer after another.
    Events,
}

impl Media {
    /// The header's value where there is one answer; of a stream that could not begin, it is plain JSON.
    pub fn of_one_answer(self) -> &'static str {
        match self {
            Self::Json | Self::Events => "application/json; charset=utf-8",
            Self::GraphQL => "application/graphql-response+json; charset=utf-8",
        }
    }
}

/// What a client accepts, best first; nothing if it accepts none of them. Without a header anything is.
pub fn negotiate(accept: Option<&str>) -> Vec<Media> {
    let Some(accept) = accept else { return vec![Media::Json] };
    let mut accepted: Vec<(f32, Media)> = Vec::new();
    for part in accept.split(',') {
        let mut parameters = part.split(';').map(str::trim);
        let media = match parameters.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/graphql-response+json" => Media::GraphQL,
            "text/event-stream" => Media::Events,
            "application/json" | "application/*" | "*/*" => Media::Json,
            _ => continue,
        };
        let quality = parameters.find_map(|parameter| parameter.strip_prefix("q=")).and_then(|q| q.parse().ok());
        let quality: f32 = quality.unwrap_or(1.0);
        if quality > 0.0 {
            accepted.push((quality, media));
        }
    }
    // Of two that are as good, the one that comes first.
    accepted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    accepted.into_iter().map(|(_, media)| media).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(accept: Option<&str>) -> Option<Media> {
        negotiate(accept).first().copied()
    }

    #[test]
    fn the_client_s_preference_decides() {
        assert_eq!(best(None), Some(Media::Json));
        assert_eq!(best(Some("*/*")), Some(Media::Json));
        assert_eq!(best(Some("application/graphql-response+json")), Some(Media::GraphQL));
        let both = "application/graphql-response+json, application/json;q=0.9";
        assert_eq!(best(Some(both)), Some(Media::GraphQL));
        let legacy = "application/graphql-response+json;q=0.1, application/json";
        assert_eq!(best(Some(legacy)), Some(Media::Json));
        assert_eq!(best(Some("text/html, application/json;q=0")), None);
        assert_eq!(best(Some("text/event-stream, application/json;q=0.5")), Some(Media::Events));
        // urql lists it on every request.
        let urql = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";
        assert_eq!(best(Some(urql)), Some(Media::GraphQL));
    }
}
