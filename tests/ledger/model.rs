//! Random histories through the database, many at once, each beside a naive ledger of its own.

use crate::database::{histories, play};
use crate::harness::{Backend, House};
use crate::on_both;

/// Histories through each database, of 50 steps and more.
const HISTORIES: usize = 500;

on_both! {
    /// Every answer is the naive ledger's, whatever else goes on at the same time and whatever is sent twice.
    async fn histories_agree_with_the_naive_ledger(house: House) {
        play(&house, histories(HISTORIES)).await;
        house.assert_verified().await;
    }
}
