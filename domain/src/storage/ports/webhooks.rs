//! Who posts webhooks: the trait that a client of HTTP implements.

use std::time::Duration;

use async_trait::async_trait;

/// What an endpoint answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why nothing was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The host leads to an address that is not public. Nothing was sent.
    NotPublic(String),
    /// It could not be reached, or took too long; in words.
    Away(String),
}

/// Who posts.
#[async_trait]
pub trait WebhookPost: Send + Sync {
    /// Looks whether a URL may be posted to, as far as can be known now.
    async fn look(&self, url: &str) -> Result<(), Unanswered>;

    /// Posts a body of JSON, with headers.
    async fn post(&self, url: &str, headers: &[(&str, String)], body: String) -> Result<Answered, Unanswered>;
}
