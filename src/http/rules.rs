//! What the doors let through: how much, how often, from where. Each has a default that needs no setting.

use std::time::Duration;

use ipnet::IpNet;

use super::documents::Documents;

/// The rules of a server's doors.
pub struct Rules {
    /// The origins of pages that may use the API from a browser, beside this server's own.
    pub origins: Vec<String>,
    /// Whether pages of this machine may, at whatever port: for development.
    pub local_origins: bool,
    /// Points a second that one caller may spend; 0 is without limit. Likewise the next two.
    pub per_caller: u32,
    /// What one address may.
    pub per_address: u32,
    /// What one address may without a token.
    pub per_stranger: u32,
    /// Whose word is taken for where a request comes from.
    pub proxies: Vec<IpNet>,
    /// The documents that are trusted.
    pub documents: Documents,
    /// Operations that run at once; twice as many wait for a moment.
    pub at_once: usize,
    /// Connections at once.
    pub connections: usize,
    /// Sockets and event streams at once.
    pub streams: usize,
    /// How long it is said that the server is going away before it is.
    pub drain: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            local_origins: false,
            per_caller: 0,
            per_address: 0,
            per_stranger: 0,
            proxies: Vec::new(),
            documents: Documents::default(),
            at_once: 256,
            connections: 8_192,
            streams: 5_000,
            drain: Duration::ZERO,
        }
    }
}
