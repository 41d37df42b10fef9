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

/// The best of what a client accepts; none if it accepts neither. Without a header anything is.
pub fn negotiate(accept: Option<&str>) -> Option<Media> {
    let Some(accept) = accept else { return Some(Media::Json) };
    let mut best: Option<(f32, Media)> = None;
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
        if quality > 0.0 && best.is_none_or(|(so_far, _)| quality > so_far) {
            best = Some((quality, media));
        }
    }
    best.map(|(_, media)| media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_preference_decides() {
        assert_eq!(negotiate(None), Some(Media::Json));
        assert_eq!(negotiate(Some("*/*")), Some(Media::Json));
        assert_eq!(negotiate(Some("application/graphql-response+json")), Some(Media::GraphQL));
        let both = "application/graphql-response+json, application/json;q=0.9";
        assert_eq!(negotiate(Some(both)), Some(Media::GraphQL));
        let legacy = "application/graphql-response+json;q=0.1, application/json";
        assert_eq!(negotiate(Some(legacy)), Some(Media::Json));
        assert_eq!(negotiate(Some("text/html, application/json;q=0")), None);
        assert_eq!(negotiate(Some("text/event-stream, application/json;q=0.5")), Some(Media::Events));
        // urql lists it on every request.
        let urql = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed";
        assert_eq!(negotiate(Some(urql)), Some(Media::GraphQL));
    }
}
