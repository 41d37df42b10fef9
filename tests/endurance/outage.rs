//! PostgreSQL goes away under load: restarted by a crash, away for a while, succeeded by its standby.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::endurance::clients::{self, Met};
use crate::endurance::cluster::Cluster;
use crate::endurance::kills::start;
use crate::harness::server::Stops;
use crate::harness::{Backend, House};
use crate::size;

/// A house on a cluster of its own.
async fn house(cluster: &Cluster) -> House {
    cluster.create("scrip");
    House::at(Backend::Postgres, cluster.url("scrip"), None).await
}

/// Lets 16 clients work at one server while something happens to its database; they go on afterwards.
async fn under_load(house: &House, what: &str, happens: impl Fn(&Met)) {
    let work = clients::work(house, 12).await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(house, folder.path());
    let (met, stop) = (Met::default(), AtomicBool::new(false));
    let addresses = [Mutex::new(server.address.clone())];
    std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let clients = scope.spawn(|| clients::run(&work, &addresses, 16, &met, &stop));
        assert!(met.wait_for_more(100, Duration::from_secs(20)), "they begin");
        happens(&met);
        let goes_on = met.wait_for_more(100, Duration::from_secs(30));
        drop(stops);
        clients.join().expect("no panic");
        assert!(goes_on, "the server recovers by itself");
    });
    let unanswered = [&met.cut, &met.refused].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(unanswered, [0, 0], "the server answered all the time");
    drop(server);
    met.tell(what);
    met.assert_kept(house).await;
}

#[cfg_attr(not(initdb), ignore = "there is no initdb on this machine")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_crashes_and_comes_back_has_everything() {
    let cluster = Cluster::new();
    let house = house(&cluster).await;
    under_load(&house, "PostgreSQL crashed and restarted", |met| {
        for _ in 0..size(2, 10) {
            cluster.stop("immediate");
            cluster.start();
            met.wait_for_more(50, Duration::from_secs(20));
        }
    })
    .await;
}

#[cfg_attr(not(initdb), ignore = "there is no initdb on this machine")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_clients_hear_so_and_afterwards_all_goes_on() {
    let cluster = Cluster::new();
    let house = house(&cluster).await;
    let away = Duration::from_secs(size(3, 30) as u64);
    under_load(&house, &format!("PostgreSQL away for {away:?}"), |met| {
        cluster.stop("fast");
        let heard = met.unavailable.load(Ordering::Relaxed);
        std::thread::sleep(away);
        assert!(met.unavailable.load(Ordering::Relaxed) > heard, "clients hear that it is away");
        cluster.start();
    })
    .await;
}

#[cfg_attr(not(initdb), ignore = "there is no initdb on this machine")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_everything_that_was_acknowledged() {
    for _ in 0..size(1, 5) {
        let cluster = Cluster::new();
        let house = house(&cluster).await;
        let standby = Mutex::new(None);
        under_load(&house, "PostgreSQL failed over to its synchronous standby", |met| {
            let second = cluster.standby();
            // Nothing is acknowledged that the standby does not have: without it commits wait.
            second.stop("fast");
            let quiet = || !met.wait_for_more(1, Duration::from_secs(1));
            assert!((0..10).any(|_| quiet()) && quiet(), "acknowledged without the standby");
            second.start();
            assert!(met.wait_for_more(200, Duration::from_secs(30)), "with it they go on");
            cluster.stop("immediate");
            second.promote();
            *standby.lock().expect("no panic") = Some(second);
        })
        .await;
        drop(standby);
    }
}
