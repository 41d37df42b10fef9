//! The same house with other doors, and what it does seen from outside.

use std::sync::Arc;
use std::time::Duration;

use poem::EndpointExt;
use poem::test::TestClient;
use scrip::domain::App;
use scrip::domain::accounts::tokens::Tokens;
use scrip::http::{Doors, Rules, Start, endpoint};

use super::{House, client};

impl House {
    /// The same server behind doors with other rules.
    pub fn behind(mut self, rules: Rules) -> Self {
        self.client = TestClient::new(endpoint(doors(&self.app, &self.tokens, rules)).boxed());
        self
    }

    /// The same server, which takes other tokens as well.
    pub fn trusting(mut self, tokens: Tokens) -> Self {
        self.tokens = Arc::new(tokens);
        self.client = client(&self.app, &self.tokens);
        self
    }

    /// How many statements ran so far, once nothing runs beside the requests: who did what is written a moment later.
    pub async fn statements(&self) -> u64 {
        let mut count = self.app.store().statements();
        loop {
            tokio::time::sleep(Duration::from_millis(350)).await;
            let now = self.app.store().statements();
            if now == count {
                return count;
            }
            count = now;
        }
    }
}

/// The doors of a server, with rules.
pub fn doors(app: &App, tokens: &Arc<Tokens>, rules: Rules) -> Doors {
    Doors {
        app: app.clone(),
        tokens: tokens.clone(),
        start: Start::default(),
        local_only: false,
        rules,
        tracker: tokio_util::task::TaskTracker::new(),
        stop: tokio_util::sync::CancellationToken::new(),
    }
}
