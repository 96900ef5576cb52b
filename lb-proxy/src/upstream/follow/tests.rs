use std::future::pending;
use std::sync::mpsc;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Picker, Policy, Tier};
use lb_discovery::{DiscoveryError, SnapshotStream, Source, Static};
use test_support::deadline::eventually;

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
