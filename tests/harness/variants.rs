//! The same house with other doors, and what it does seen from outside.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::join_all;
use scrip::domain::accounts::{self, tokens::Tokens};
use scrip::domain::ground::clock::{Clock, ManualClock, SystemClock};
use scrip::domain::{App, Caller, Scope};
use scrip::http::{Doors, Rules, Start};

use super::{Backend, Client, House, client, open, tokens};

impl House {
    /// Connections that read.
    pub const READERS: usize = 8;

    /// What is answered to those who ask while nobody can read: they wait together, and are read for in few groups.
    pub async fn together<T>(&self, asked: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
        let mut readers = Vec::new();
        for _ in 0..Self::READERS {
            readers.push(self.staff().view(Scope::OwnRead).await.expect("a connection"));
        }
        let release = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(readers);
        };
        tokio::join!(join_all(asked), release).0
    }

    /// The same server behind doors with other rules.
    pub fn behind(mut self, rules: Rules) -> Self {
        self.client = Client::before(doors(&self.app, &self.tokens, rules));
        self
    }

    /// The same server, which takes other tokens as well.
    pub fn trusting(mut self, tokens: Tokens) -> Self {
        self.tokens = Arc::new(tokens);
        self.client = client(&self.app, &self.tokens);
        self
    }

    /// The house of an account that a database has already; its tables are brought up to date.
    pub async fn found(backend: Backend, url: String, slug: &str) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let app = open(&url, clock.clone()).await;
        let operator = Caller::operator(app.clone(), "tests");
        let account = accounts::by_slug(&operator, slug).await.expect("looked").expect("it is there");
        let tokens = Arc::new(tokens());
        let client = client(&app, &tokens);
        Self { app, tokens, clock, account, url, backend, client, keys: AtomicU64::new(1), _folder: None }
    }

    /// The same house with another server in it.
    pub fn with(mut self, app: App) -> Self {
        self.client = client(&app, &self.tokens);
        self.app = app;
        self
    }

    /// A number that a statement of its own reads from the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        match self.backend {
            Backend::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&self.url).await.expect("a connection");
                sqlx::query_scalar(sql).fetch_one(&pool).await.expect(sql)
            }
            Backend::Postgres => {
                let pool = sqlx::PgPool::connect(&self.url).await.expect("a connection");
                sqlx::query_scalar(sql).fetch_one(&pool).await.expect(sql)
            }
        }
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
