use std::sync::{Mutex, mpsc};
use std::thread::{self, ThreadId};

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Picker, Policy, Tier};
use lb_discovery::{DiscoveryError, Manual, SnapshotStream, Source, Static};
use test_support::deadline::eventually;

use super::applier::MANY;
use super::*;

/// Sends the number of backends of each tier that it compiles.
#[derive(Debug)]
struct Compiled(mpsc::Sender<u32>);

impl Policy for Compiled {
    fn name(&self) -> &'static str {
        "compiled"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        // The receiver may be dropped before the upstream.
        let _ = self.0.send(tier.len().get());
        WeightedRoundRobin::new().compile(tier)
    }
}

/// A source that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Source for Silent {
    fn label(&self) -> Arc<str> {
        "silent".into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        pending().await
    }
}

fn fixed(number: u16) -> Static {
    let addrs = (1..=number).map(|port| ([127, 0, 0, 1], port).into());
    Static::new(addrs.map(Backend::new).collect())
}

/// An upstream that is followed with three backends, and then adopts one with `source`. Returns the numbers of backends
/// that the policy of the latter was compiled for, the first of which came.
async fn compiled_after_change_to(source: impl Source) -> (u32, Vec<u32>) {
    let builder = Upstream::builder("test").policy(WeightedRoundRobin::new());
    let upstream = builder.discovery(fixed(3)).build().unwrap();
    let (following, cancel) = upstream.followed(ProbeResources::default()).await;
    let (sender, compiled) = mpsc::channel();
    let builder = Upstream::builder("test").policy(Compiled(sender));
    let described = builder.discovery(source).build().unwrap();
    assert!(upstream.adopt(&described));
    let mut first = None;
    eventually("the policy is compiled", || {
        first = compiled.try_recv().ok();
        first.is_some()
    })
    .await;
    cancel.cancel();
    following.await.expect("no panic");
    (first.unwrap_or_default(), compiled.try_iter().collect())
}

#[tokio::test]
async fn another_policy_is_compiled_once_for_the_set_that_comes_with_it() {
    assert_eq!(compiled_after_change_to(fixed(5)).await, (5, vec![]));
    // The same set.
    assert_eq!(compiled_after_change_to(fixed(3)).await, (3, vec![]));
}

#[tokio::test(start_paused = true)]
async fn another_policy_does_not_wait_for_a_source_that_is_silent() {
    assert_eq!(compiled_after_change_to(Silent).await, (3, vec![]));
}

#[test]
fn a_line_names_some_of_many_endpoints() {
    let addrs: Vec<SocketAddr> = (1..)
        .take(NAMED + 2)
        .map(|port| ([10, 0, 0, 1], port).into())
        .collect();
    let shown = |number: usize| format!("{:?}", endpoints(&addrs[..number], |_| None));
    assert_eq!(shown(2), "[10.0.0.1:1, 10.0.0.1:2]");
    assert!(shown(NAMED).ends_with(&format!(", 10.0.0.1:{NAMED}]")));
    assert!(shown(NAMED + 2).ends_with(&format!(", 10.0.0.1:{NAMED}, 2 more]")));
}

/// Sends the thread that compiles it, and then waits for a message.
#[derive(Debug)]
struct CompiledBy {
    threads: mpsc::Sender<(u32, ThreadId)>,
    goes_on: Mutex<mpsc::Receiver<()>>,
}

impl Policy for CompiledBy {
    fn name(&self) -> &'static str {
        "compiled_by"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let _ = self
            .threads
            .send((tier.len().get(), thread::current().id()));
        // The sender is dropped where nothing is to wait.
        let _ = lock(&self.goes_on).recv();
        WeightedRoundRobin::new().compile(tier)
    }
}

type Compilations = mpsc::Receiver<(u32, ThreadId)>;

/// An upstream of `source`, what compiles its policy, and what lets it go on.
fn compiled_by(source: impl Source) -> (Upstream, Compilations, mpsc::Sender<()>) {
    let (threads, compilations) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let builder = Upstream::builder("test").policy(CompiledBy {
        threads,
        goes_on: Mutex::new(goes_on),
    });
    let upstream = builder.discovery(source).build().unwrap();
    (upstream, compilations, go_on)
}

#[tokio::test]
async fn a_set_of_many_backends_is_applied_on_another_thread() {
    for (count, is_here) in [(3, true), (MANY as u16, false)] {
        let (upstream, compilations, go_on) = compiled_by(fixed(count));
        drop(go_on);
        let (following, cancel) = upstream.followed(ProbeResources::default()).await;
        let (compiled, thread) = compilations.recv().unwrap();
        assert_eq!(compiled, u32::from(count));
        assert_eq!(thread == thread::current().id(), is_here, "{count}");
        assert_eq!(upstream.backends().snapshot().len(), usize::from(count));
        cancel.cancel();
        following.await.expect("no panic");
    }
}

fn backends(count: usize) -> Snapshot {
    let addrs = (1..=count).map(|n| ([10, 0, (n / 250) as u8, (n % 250) as u8], 1).into());
    addrs.map(Backend::new).collect()
}

/// The clock of the runtime stands still, so each sleep lets the driver do all that it has to.
#[tokio::test(start_paused = true)]
async fn of_sets_that_come_while_one_is_applied_the_last_one_follows_it() {
    const LONG: Duration = Duration::from_secs(60);
    let (source, manual) = Manual::new(backends(MANY));
    let (upstream, compilations, go_on) = compiled_by(source);
    let cancel = CancellationToken::new();
    let following = upstream
        .clone()
        .follow(ProbeResources::default(), cancel.clone());
    let following = tokio::spawn(following);
    // This task, and so the sessions of its thread, goes on while the other thread compiles.
    sleep(LONG).await;
    for count in [MANY + 1, MANY + 2, 3] {
        manual.set(backends(count));
        sleep(LONG).await;
    }
    assert!(upstream.backends().snapshot().is_empty());
    drop(go_on);
    cancel.cancel();
    following.await.expect("no panic");
    let compiled: Vec<u32> = compilations.try_iter().map(|(count, _)| count).collect();
    assert_eq!(compiled, [MANY as u32, 3]);
    assert_eq!(upstream.backends().snapshot().len(), 3);
}

#[tokio::test]
async fn a_follower_ends_when_its_last_set_is_applied() {
    let (upstream, compilations, go_on) = compiled_by(fixed(MANY as u16));
    let cancel = CancellationToken::new();
    let following = upstream
        .clone()
        .follow(ProbeResources::default(), cancel.clone());
    let following = tokio::spawn(following);
    eventually("a compilation", || compilations.try_recv().is_ok()).await;
    cancel.cancel();
    tokio::task::yield_now().await;
    assert!(!following.is_finished());
    drop(go_on);
    following.await.expect("no panic");
    assert_eq!(upstream.backends().snapshot().len(), MANY);
}
