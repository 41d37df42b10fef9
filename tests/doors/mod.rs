//! The doors: who comes in, what is let through, what an operator sees.

mod access_log;
mod attacks;
mod erasures;
mod identity;
mod isolation;
mod keys;
mod limits;
mod operation;
mod persons;
mod planted;
mod rules;
mod sessions;
mod shop;
mod starved;
mod statements;
mod taint;
#[cfg(feature = "otlp")]
mod traces;
mod wire;
