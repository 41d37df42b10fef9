//! Three servers on one PostgreSQL, behind clients that go on to the next one; one is killed in the middle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::endurance::clients::{self, Met};
use crate::endurance::kills::start;
use crate::harness::server::Stops;
use crate::harness::{Backend, House};
use crate::size;

/// How many were acknowledged in a second while so many clients asked these servers; what happens meanwhile, happens.
fn load(work: &clients::Work, addresses: &[Mutex<String>], met: &Met, lasts: Duration, happens: impl FnOnce()) -> f64 {
    let (stop, before, began) = (AtomicBool::new(false), met.acknowledged(), Instant::now());
    std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let clients = scope.spawn(|| clients::run(work, addresses, 48, met, &stop));
        std::thread::sleep(lasts / 2);
        happens();
        std::thread::sleep(lasts / 2);
        drop(stops);
        clients.join().expect("no panic");
    });
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let done = (met.acknowledged() - before) as f64;
    done / began.elapsed().as_secs_f64()
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_share_one_postgresql_and_one_may_die() {
    let house = House::new(Backend::Postgres).await;
    let work = clients::work(&house, 300).await;
    let (folder, met) = (tempfile::tempdir().expect("a folder"), Met::default());
    let mut servers = [(); 3].map(|()| Some(start(&house, folder.path())));
    let address =
        |server: &Option<crate::harness::server::Server>| Mutex::new(server.as_ref().expect("it runs").address.clone());
    let addresses = servers.each_ref().map(address);
    let lasts = Duration::from_secs(size(3, 20) as u64);
    let one = load(&work, &addresses[..1], &met, lasts, || {});
    let three = load(&work, &addresses, &met, lasts, || {});
    let killed = load(&work, &addresses, &met, lasts, || drop(servers[1].take()));
    drop(servers);
    println!(
        "one server: {one:.0} a second; three: {three:.0} ({:.2} times); one of three killed: {killed:.0}",
        three / one
    );
    met.tell("three servers");
    assert!(met.cut.load(Ordering::Relaxed) > 0, "the kill met clients");
    met.assert_kept(&house).await;
}
