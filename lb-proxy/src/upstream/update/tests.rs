use std::sync::mpsc;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Picker, Tier};
use lb_discovery::{DriverConfig, Manual, ManualHandle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;

/// Sends the name of each thread that compiles it, with the number of backends.
#[derive(Debug)]
struct Compiled(mpsc::Sender<(Option<String>, usize)>);

impl Policy for Compiled {
    fn name(&self) -> &'static str {
        "compiled"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let thread = thread::current().name().map(str::to_owned);
        let number = usize::try_from(tier.len().get()).expect("a small number");
        // The receiver may be dropped before the upstream.
        let _ = self.0.send((thread, number));
        WeightedRoundRobin::new().compile(tier)
    }
}

fn backends(number: usize) -> Snapshot {
    let addrs = (1..).take(number).map(|port| ([127, 0, 0, 1], port).into());
    addrs.map(Backend::new).collect()
}

fn describe(number: usize, policy: impl Policy) -> (Upstream, ManualHandle) {
    let (manual, sources) = Manual::new(backends(number));
    let config = DriverConfig::default().debounce(Duration::from_millis(1));
    let builder = Upstream::builder("updated").policy(policy);
    let builder = builder.discovery(manual).discovery_config(config);
    (builder.build().unwrap(), sources)
}

fn follow(upstream: &Upstream) -> (JoinHandle<()>, CancellationToken) {
    let cancel = CancellationToken::new();
    let following = tokio::spawn(upstream.clone().follow(cancel.clone()));
    (following, cancel)
}

/// Polls until `is_so`.
async fn eventually(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so in time");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn long_updates_run_on_a_thread_of_their_own_which_ends_and_short_ones_at_once() {
    let (compiled, all) = mpsc::channel();
    let (upstream, sources) = describe(LONG - 1, Compiled(compiled.clone()));
    let here = thread::current().name().map(str::to_owned);
    let own = Some("lb-update".to_owned());
    let (following, cancel) = follow(&upstream);
    let has = |number| upstream.backends().snapshot().len() == number;
    eventually(|| has(LONG - 1)).await;
    assert_eq!(all.try_recv(), Ok((here.clone(), LONG - 1)));
    for (number, thread) in [(LONG, &own), (1, &own), (2, &here)] {
        sources.set(backends(number));
        eventually(|| has(number)).await;
        assert_eq!(all.try_recv(), Ok((thread.clone(), number)));
        eventually(|| upstream.shared().reported.threads.load(Relaxed) == 0).await;
    }
    sources.set(backends(LONG));
    eventually(|| has(LONG)).await;
    let (described, _sources) = describe(LONG + 1, Compiled(compiled));
    assert!(upstream.adopt(&described));
    eventually(|| has(LONG + 1)).await;
    let later: Vec<_> = all.try_iter().collect();
    assert_eq!(
        later,
        [LONG, LONG, LONG + 1].map(|number| (own.clone(), number))
    );
    cancel.cancel();
    following.await.expect("no panic");
}

/// Holds the lock of the membership until the sender is dropped.
fn hold_membership(upstream: &Upstream) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (hold, held) = mpsc::channel();
    let upstream = upstream.clone();
    thread::spawn(move || {
        let _membership = lock(&upstream.shared().membership);
        hold.send(()).expect("the test waits");
        // An error: nothing is sent.
        let _ = released.recv();
    });
    held.recv().expect("the thread holds the lock");
    release
}

#[tokio::test]
async fn of_sets_that_are_reported_during_a_long_update_the_latest_is_applied() {
    let (upstream, _sources) = describe(0, WeightedRoundRobin::new());
    let shared = upstream.shared();
    let reported = &shared.reported;
    let ended = || reported.threads.load(Relaxed) == 0;
    let waiting = || lock(&reported.latest).as_ref().map(Snapshot::len);
    for (updates, last) in [(1, 3), (2, LONG + 3)] {
        let applying = tokio::spawn({
            let upstream = upstream.clone();
            async move { upstream.apply_delayed().await }
        });
        let release = hold_membership(&upstream);
        upstream.report(backends(LONG));
        eventually(|| !ended()).await;
        for number in [LONG + 1, 2, last] {
            upstream.report(backends(number));
            assert_eq!(waiting(), Some(number));
        }
        // The thread that runs goes on without the one that waits for it.
        applying.abort();
        drop(release);
        eventually(ended).await;
        assert_eq!(upstream.backends().snapshot().len(), last);
        assert_eq!(waiting(), None);
        assert_eq!(*shared.memberships.borrow(), updates);
    }
}
