//! Where the time goes: how long statements took, by what they do to which table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How often, and how long altogether.
type Times = BTreeMap<String, (u64, Duration)>;

/// What has been heard of statements.
#[derive(Clone, Default)]
pub struct Profile(Arc<Mutex<Times>>);

#[derive(Default)]
struct Statement {
    took: Duration,
    sql: String,
}

impl Visit for Statement {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "micros" {
            self.took = Duration::from_micros(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            value.clone_into(&mut self.sql);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Profile {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let mut times = self.0.lock().expect("nobody panics while counting");
        let (count, took) = times.entry(name_of(&statement.sql)).or_default();
        *count += 1;
        *took += statement.took;
    }
}

/// The verb and the table that it names first: `INSERT activity`.
fn name_of(sql: &str) -> String {
    let verb = sql.split(' ').next().unwrap_or_default();
    let target = match sql.strip_prefix("UPDATE ") {
        Some(rest) => rest,
        None => ["INTO ", "FROM "].into_iter().find_map(|word| sql.split_once(word)).map_or("", |(_, rest)| rest),
    };
    let table = target.trim_start_matches('"').split(|c: char| !c.is_ascii_lowercase() && c != '_').next();
    format!("{verb} {}", table.unwrap_or_default())
}

impl Profile {
    /// Listens from now on.
    pub fn start() -> Self {
        let profile = Self::default();
        let only = Targets::new().with_target("scrip::sql", LevelFilter::TRACE);
        tracing_subscriber::registry().with(profile.clone().with_filter(only)).init();
        profile
    }

    /// Forgets what it heard.
    pub fn forget(&self) {
        self.0.lock().expect("nobody panics while counting").clear();
    }

    /// Says what it heard, the longest first: of each command so many microseconds.
    pub fn tell(&self, commands: usize) {
        let mut times = self.0.lock().expect("nobody panics while counting").clone().into_iter().collect::<Vec<_>>();
        times.sort_by_key(|(_, (_, took))| std::cmp::Reverse(*took));
        #[expect(clippy::cast_precision_loss, reason = "figures to be read")]
        let each = |took: Duration| took.as_secs_f64() * 1e6 / commands.max(1) as f64;
        println!("time in statements, microseconds for each command:");
        for (name, (count, took)) in &times {
            let mean = took.as_secs_f64() * 1e3 / f64::from(u32::try_from(*count).unwrap_or(u32::MAX));
            println!("  {name:<28} {:>8.1}   ({count} of {mean:.2} ms)", each(*took));
        }
        println!("  {:<28} {:>8.1}", "all", each(times.iter().map(|(_, (_, took))| *took).sum()));
    }
}
