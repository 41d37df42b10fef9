//! Random histories through the database, many at once, each beside a naive ledger of its own.

use crate::harness::{Backend, House};
use crate::naive::database::{histories, play};
use crate::{on_both, size};

on_both! {
    /// Every answer is the naive ledger's, whatever else goes on at the same time and whatever is sent twice.
    async fn histories_agree_with_the_naive_ledger(house: House) {
        // Of 50 steps and more, each.
        play(&house, histories(size(80, 500))).await;
        house.assert_verified().await;
    }
}
