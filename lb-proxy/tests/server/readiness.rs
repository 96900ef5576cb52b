//! Readiness: each condition, and that changes are reported without being asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, Health, Snapshot};
use lb_discovery::{DriverConfig, Manual, ManualHandle};
use lb_proxy::balancing::{Override, OverrideKind, OverrideOrigin};
use lb_proxy::reports::{Phase, Readiness, ReadinessCheck, ReadinessWatch};
use lb_proxy::{Proxy, Upstream, UpstreamBuilder};
use test_support::deadline::within;
use test_support::nodes::{named, serve};
use test_support::proxy::{RunningProxy, reload, round_robin, upstream};
use test_support::sockets::{loopback, refusing};
use test_support::streams::ask;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// An essential upstream of backends that the test sets.
fn essential(backends: &[SocketAddr]) -> (UpstreamBuilder, ManualHandle) {
    let backends = backends.iter().copied().map(Backend::new);
    let (source, handle) = Manual::new(backends.collect());
    let upstream = Upstream::builder("essential")
        .discovery(source)
        .discovery_config(DriverConfig::default().debounce(Duration::ZERO))
        .policy(WeightedRoundRobin::new())
        .essential(true);
    (upstream, handle)
}

/// The checks that are not met.
fn unmet(readiness: &Readiness) -> Vec<ReadinessCheck> {
    readiness.unmet().map(|condition| condition.check).collect()
}

/// Waits for a report with these unmet conditions.
async fn reported(watch: &mut ReadinessWatch, expected: &[ReadinessCheck]) {
    let found = async {
        loop {
            let readiness = watch.changed().await;
            if unmet(&readiness) == expected {
                return;
            }
        }
    };
    within("the readiness", found).await;
}

async fn serving(upstream: &Upstream) -> (RunningProxy, ReadinessWatch) {
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), upstream)).await;
    let mut watch = proxy.handle.watch_readiness();
    reported(&mut watch, &[]).await;
    (proxy, watch)
}

#[tokio::test]
async fn an_essential_upstream_without_a_usable_backend_ends_readiness_and_its_return_begins_it() {
    use ReadinessCheck::Backends;
    let addrs = [named("a").await, named("b").await];
    let (described, backends) = essential(&addrs);
    let upstream = described.build().unwrap();
    let (proxy, mut watch) = serving(&upstream).await;

    // Health.
    upstream.set_health(addrs[0], Health::Unhealthy);
    assert!(proxy.handle.is_ready(), "one backend is left");
    upstream.set_health(addrs[1], Health::Unhealthy);
    reported(&mut watch, &[Backends]).await;
    assert!(!proxy.handle.is_ready());
    upstream.set_health(addrs[1], Health::Healthy);
    reported(&mut watch, &[]).await;

    // Membership.
    backends.set(Snapshot::default());
    reported(&mut watch, &[Backends]).await;
    backends.set(addrs.map(Backend::new).into_iter().collect());
    reported(&mut watch, &[]).await;

    // Overrides.
    let drain = Override::Admin(AdminState::Drain);
    for addr in addrs {
        let set = upstream.set_override(addr, OverrideOrigin::Operator, "test", drain);
        assert!(set.unwrap());
    }
    reported(&mut watch, &[Backends]).await;
    let (origin, kind) = (OverrideOrigin::Operator, OverrideKind::Admin);
    upstream.clear_override(addrs[0], origin, "test", kind);
    reported(&mut watch, &[]).await;
    proxy.end().await;
}

#[tokio::test]
async fn an_ejection_of_all_backends_ends_readiness_until_it_is_over_or_a_connection_succeeds() {
    let [(first, addr), (_second, other)] = [refusing(), refusing()];
    let timeout = Duration::from_millis(500);
    let limit = lb_core::FailLimit::new(std::num::NonZeroU32::MIN, timeout);
    let (described, backends) = essential(&[]);
    let failing = [addr, other].map(|addr| Backend::new(addr).fail_limit(Some(limit)));
    backends.set(failing.into_iter().collect());
    let (proxy, mut watch) = serving(&described.build().unwrap()).await;
    // The client is reset after both attempts.
    ask(proxy.addr).await.unwrap_err();
    reported(&mut watch, &[ReadinessCheck::Backends]).await;
    // No event reports the end of an ejection.
    reported(&mut watch, &[]).await;
    ask(proxy.addr).await.unwrap_err();
    reported(&mut watch, &[ReadinessCheck::Backends]).await;
    // The trial succeeds.
    first.listen(16).unwrap();
    first.set_nonblocking(true).unwrap();
    serve("a", TcpListener::from_std(first.into()).unwrap());
    let answered = async { while ask(proxy.addr).await.ok().as_deref() != Some("a") {} };
    within("an answer", answered).await;
    reported(&mut watch, &[]).await;
    assert!(proxy.handle.is_ready());
    proxy.end().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_essential_needs_no_backend() {
    let upstream = upstream([]);
    let (proxy, _watch) = serving(&upstream).await;
    assert!(!upstream.has_usable_backend());
    proxy.end().await;
}

#[tokio::test]
async fn a_reload_that_makes_an_upstream_essential_counts_at_once() {
    let (described, _backends) = essential(&[]);
    let before = described.essential(false).build().unwrap();
    let (proxy, mut watch) = serving(&before).await;
    let (described, _backends) = essential(&[]);
    let after = described.build().unwrap();
    let describe = Proxy::builder().listen(proxy.addr, &after);
    reload(&proxy, describe).await.unwrap();
    reported(&mut watch, &[ReadinessCheck::Backends]).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_control_loop_that_stops_reporting_ends_readiness() {
    let upstream = round_robin("a", named("a").await);
    let (proxy, mut watch) = serving(&upstream).await;
    within("the workers", proxy.handle.workers_answer()).await;
    proxy.handle.heartbeat(Duration::MAX);
    let readiness = within("the report", watch.changed()).await;
    let control = readiness.conditions().last().unwrap();
    assert_eq!(
        (control.check, control.ok),
        (ReadinessCheck::ControlLoop, true)
    );
    proxy.handle.heartbeat(Duration::from_millis(1));
    reported(&mut watch, &[ReadinessCheck::ControlLoop]).await;
    proxy.handle.heartbeat(Duration::MAX);
    reported(&mut watch, &[]).await;
    // What is only shown.
    let problem = Some("the file is not ours".to_owned());
    proxy.handle.note_publication(problem.clone());
    let readiness = within("the problem", watch.changed()).await;
    let shown = readiness.conditions().last().unwrap();
    assert_eq!(
        (shown.check, shown.ok, Some(shown.detail.clone())),
        (ReadinessCheck::Publication, false, problem)
    );
    assert!(proxy.handle.is_ready());
    proxy.handle.note_publication(None);
    let readiness = within("the solution", watch.changed()).await;
    assert!(readiness.conditions().iter().all(|condition| condition.ok));
    proxy.end().await;
}

#[tokio::test]
async fn a_problem_of_the_program_ends_readiness_until_it_is_solved() {
    let upstream = round_robin("a", named("a").await);
    let (proxy, mut watch) = serving(&upstream).await;
    proxy.handle.note_program(Some("no plan".to_owned()));
    reported(&mut watch, &[ReadinessCheck::Program]).await;
    assert_eq!(proxy.handle.readiness().to_string(), "not ready: no plan");
    proxy.handle.note_program(None);
    reported(&mut watch, &[]).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_shutdown_accepts_until_the_pre_stop_hook_completes() {
    let upstream = round_robin("a", named("a").await);
    let withdrawn = Arc::new(Notify::new());
    let hook = Arc::clone(&withdrawn);
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .pre_stop_hook(move || {
            let hook = Arc::clone(&hook);
            async move { hook.notified().await }
        });
    let proxy = RunningProxy::run(proxy).await;
    let (addr, handle) = (proxy.addr, proxy.handle.clone());
    let mut watch = handle.watch_readiness();
    reported(&mut watch, &[]).await;
    let ended = tokio::spawn(proxy.end());
    within("the end of readiness", async {
        while !watch.changed().await.is_leaving() {}
    })
    .await;
    // Not ready, and every client is served.
    for _ in 0..20 {
        assert_eq!(ask(addr).await.unwrap(), "a");
    }
    assert_eq!(handle.phase(), Phase::Leaving);
    withdrawn.notify_one();
    within("the drain", handle.reached(Phase::Draining)).await;
    let report = ended.await.unwrap();
    assert_eq!(report.aborted, 0);
    ask(addr).await.unwrap_err();
}

#[tokio::test]
async fn an_abort_does_not_wait_for_the_pre_stop_hook() {
    let upstream = round_robin("a", named("a").await);
    let proxy = Proxy::builder()
        .listen(loopback(), &upstream)
        .pre_stop_hook(std::future::pending);
    let proxy = RunningProxy::run(proxy).await;
    proxy.handle.shutdown();
    within("the phase Leaving", proxy.handle.reached(Phase::Leaving)).await;
    proxy.handle.abort();
    proxy.end().await;
}
