//! What follows from what happens: events, triggers, automations, webhooks, live updates.

mod automations;
mod certificates;
mod crash;
mod events;
mod follow;
pub mod live;
mod notices;
mod receiver;
mod shop;
mod sockets;
mod speed;
mod sse;
mod triggers;
mod webhooks;
