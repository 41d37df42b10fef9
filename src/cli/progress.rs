//! What long work shows of itself.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar, where somebody looks: what is done, to how many, and what they are.
pub fn bar(what: impl Into<String>, count: u64, of: &str) -> ProgressBar {
    let bar = ProgressBar::new(count);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {of}, {{eta}} left");
    bar.set_style(ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(what.into())
}
