//! The server is killed again and again while 32 clients change the ledger.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::endurance::clients::{self, Met};
use crate::harness::server::{Server, Stops};
use crate::harness::{Backend, House, LEDGER_KEY, SIGNING_SECRET, open};
use crate::on_both;
use crate::size;

/// A server of a program of its own on the house's database.
pub fn start(house: &House, folder: &std::path::Path) -> Server {
    let settings = [
        ("SCRIP_DATABASE_URL", house.url.as_str()),
        ("SCRIP_SIGNING_SECRET", SIGNING_SECRET),
        ("SCRIP_LEDGER_KEY", LEDGER_KEY),
    ];
    Server::start(folder, &["serve"], &settings)
}

on_both! {
    async fn a_killed_server_loses_nothing_that_it_acknowledged(house: House) {
        let work = clients::work(&house, 12).await;
        // The server has the database for itself: whoever opens SQLite's after a kill puts it in order.
        house.app.close().await;
        let (folder, met, stop) = (tempfile::tempdir().expect("a folder"), Met::default(), AtomicBool::new(false));
        let mut running = Some(start(&house, folder.path()));
        let addresses = [Mutex::new(running.as_ref().expect("it runs").address.clone())];
        std::thread::scope(|scope| {
            let stops = Stops(&stop);
            let clients = scope.spawn(|| clients::run(&work, &addresses, 32, &met, &stop));
            for kill in 0..size(3, 50) {
                std::thread::sleep(Duration::from_millis(200 + (kill as u64 * 337) % 600));
                // Dropped: SIGKILL.
                drop(running.take());
                let next = start(&house, folder.path());
                next.address.clone_into(&mut addresses[0].lock().expect("no panic"));
                running = Some(next);
            }
            assert!(met.wait_for_more(50, Duration::from_secs(20)), "it goes on after the last one");
            drop(stops);
            clients.join().expect("no panic");
        });
        drop(running);
        met.tell(&format!("{:?}, {} kills", house.backend, size(3, 50)));
        assert!(met.cut.load(Ordering::Relaxed) > 0, "no kill met a client");
        let app = open(&house.url, house.clock.clone()).await;
        met.assert_kept(&house.with(app)).await;
    }
}
