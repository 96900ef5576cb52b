//! A server that begins with what another one knew.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_core::policy::WeightedRoundRobin;
use lb_core::{AdminState, Backend, FailLimit, Health, Priority, Snapshot, Weight};
use lb_discovery::{Source, Static};
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::reports::{SavedState, SavedStateError};
use lb_proxy::{Proxy, ProxyBuilder, Upstream};
use test_support::deadline::{eventually, within};
use test_support::discovery::{Script, Watch};
use test_support::nodes::{named, serve};
use test_support::proxy::RunningProxy;
use test_support::sockets::{loopback, refusing};
use test_support::streams::ask;
use tokio::net::TcpListener;

/// A failure ejects for longer than any test.
fn limited(backend: Backend) -> Backend {
    let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(600));
    backend.fail_limit(Some(limit))
}

fn followed(name: &str, source: Arc<dyn Source>) -> Upstream {
    let upstream = Upstream::builder(name)
        .discovery(source)
        .policy(WeightedRoundRobin::new());
    upstream.build().unwrap()
}

/// A source that yields `backends` and stays silent.
fn answering(backends: Snapshot) -> Arc<dyn Source> {
    Script::new([Watch::Sets(vec![(Duration::ZERO, backends)])])
}

fn listening(upstream: &Upstream) -> ProxyBuilder {
    Proxy::builder().listen(loopback(), upstream)
}

/// What a server of `upstream` knows after `use_it`.
async fn known(upstream: &Upstream, use_it: impl AsyncFnOnce(&RunningProxy)) -> SavedState {
    let proxy = RunningProxy::run(listening(upstream)).await;
    eventually("the membership", || upstream.is_ready()).await;
    use_it(&proxy).await;
    let state = proxy.handle.export_state();
    proxy.end().await;
    state
}

/// A running server of `upstream` that begins with `state`.
async fn restored(upstream: &Upstream, state: SavedState, taken: usize) -> RunningProxy {
    let described = listening(upstream).build().unwrap();
    assert_eq!(described.restore(state), taken);
    RunningProxy::run_built(described).await
}

/// The state as another process reads it.
fn reread(state: &SavedState) -> SavedState {
    SavedState::from_json(&state.to_json(), SystemTime::now()).unwrap()
}

#[tokio::test]
async fn an_upstream_whose_sources_are_silent_serves_and_its_ejected_backend_stays_ejected() {
    let (socket, dead) = refusing();
    let good = named("good").await;
    let backends: Snapshot = [dead, good]
        .map(Backend::new)
        .map(limited)
        .into_iter()
        .collect();
    let first = followed("u", answering(backends));
    let state = known(&first, async |proxy| {
        // The first attempt fails, and the client gets the other backend.
        assert_eq!(ask(proxy.addr).await.unwrap(), "good");
    })
    .await;
    assert_eq!(
        (state.backends(), state.upstreams().collect::<Vec<_>>()),
        (2, vec!["u"])
    );
    // It would answer now.
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    serve("revived", TcpListener::from_std(socket.into()).unwrap());

    let source = Script::new([Watch::Hang]);
    let second = followed("u", source);
    let proxy = restored(&second, reread(&state), 1).await;
    for _ in 0..6 {
        assert_eq!(within("an answer", ask(proxy.addr)).await.unwrap(), "good");
    }
    let status = second.discovery();
    assert!(status.sources[0].is_restored && status.sources[0].last_success.is_some());
    assert!(proxy.handle.is_ready());
    proxy.end().await;
}

#[tokio::test]
async fn the_first_answer_replaces_what_was_restored() {
    let [old, new] = [named("old").await, named("new").await];
    let first = followed("u", answering([Backend::new(old)].into_iter().collect()));
    let state = known(&first, async |_| {}).await;
    let answer = (
        Duration::from_millis(300),
        [Backend::new(new)].into_iter().collect(),
    );
    let second = followed("u", Script::new([Watch::Sets(vec![answer])]));
    let proxy = restored(&second, state, 1).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "old");
    let replaced = async { while ask(proxy.addr).await.unwrap() != "new" {} };
    within("the answer", replaced).await;
    assert!(!second.discovery().sources[0].is_restored);
    proxy.end().await;
}

#[tokio::test]
async fn an_upstream_or_a_source_that_changed_takes_nothing() {
    let addr = named("a").await;
    let first = followed("u", answering([Backend::new(addr)].into_iter().collect()));
    let state = known(&first, async |_| {}).await;
    let hanging = || Script::new([Watch::Hang]);
    let other_name = followed("v", hanging());
    let other_source = {
        let source = Static::new(Snapshot::default()).labelled("another");
        followed("u", Arc::new(source))
    };
    for upstream in [other_name, other_source] {
        let described = listening(&upstream).build().unwrap();
        assert_eq!(described.restore(state.clone()), 0);
        assert!(
            upstream
                .discovery()
                .sources
                .iter()
                .all(|source| !source.is_restored)
        );
    }
}

#[tokio::test]
async fn health_is_restored_where_a_check_can_change_it() {
    let addrs = [named("a").await, named("b").await];
    let backends: Snapshot = addrs.map(Backend::new).into_iter().collect();
    let checked = |source: Arc<dyn Source>, interval| {
        let settings = CheckSettings::default().interval(interval);
        let upstream = Upstream::builder("u").discovery(source);
        let upstream = upstream.policy(WeightedRoundRobin::new());
        let check = TcpCheck::new();
        upstream.health_check(check, settings).build().unwrap()
    };
    let first = followed("u", answering(backends));
    let state = known(&first, async |_| {
        assert!(first.set_health(addrs[0], Health::Unhealthy));
    })
    .await;
    let health = |upstream: &Upstream| -> Vec<Health> {
        let set = upstream.backends();
        let health = set.status(upstream.now()).map(|status| status.health);
        health.collect()
    };
    let without = followed("u", Script::new([Watch::Hang]));
    let proxy = restored(&without, state.clone(), 1).await;
    eventually("the membership", || without.is_ready()).await;
    assert_eq!(health(&without), [Health::Healthy, Health::Healthy]);
    proxy.end().await;

    let with = checked(Script::new([Watch::Hang]), Duration::from_millis(20));
    let proxy = restored(&with, state.clone(), 1).await;
    eventually("the membership", || with.is_ready()).await;
    // A check that passes makes it healthy again.
    eventually("the check", || health(&with) == [Health::Healthy; 2]).await;
    let restored_first = with.transitions();
    assert_eq!(restored_first.len(), 1, "{restored_first:?}");
    proxy.end().await;
}

#[test]
fn every_part_of_a_set_survives_the_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let backend = limited(Backend::new(([10, 0, 0, 1], 446).into()))
        .name("node1")
        .weight(Weight::new(7))
        .admin(AdminState::Drain)
        .priority(Priority::BACKUP)
        .max_conns(5)
        .zone("a")
        .for_zones([Arc::from("a"), Arc::from("b")])
        .node("machine")
        .instance("uid");
    let plain = Backend::unix(Path::new("/run/echo.sock")).fail_limit(None);
    let backends: Snapshot = [backend, plain].into_iter().collect();
    let upstream = followed("u", answering(backends.clone()));
    let state = runtime.block_on(known(&upstream, async |_| {}));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    for _ in 0..2 {
        state.write_file(&path).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let read = SavedState::read_file(&path, SystemTime::now());
    let read = read.unwrap().unwrap();
    assert_eq!(read.to_json(), state.to_json());
    let again = followed("u", Script::new([Watch::Hang]));
    runtime.block_on(async {
        let proxy = restored(&again, read, 1).await;
        eventually("the membership", || again.is_ready()).await;
        let found = again.discovered();
        let expected = backends.iter().map(|b| b.clone().source("script"));
        assert_eq!(found, expected.collect());
        proxy.end().await;
    });
}

/// Why the file with this content is not used.
fn refused(content: &[u8]) -> SavedStateError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    fs::write(&path, content).unwrap();
    SavedState::read_file(&path, SystemTime::now()).unwrap_err()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_an_error_and_a_missing_one_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let missing = SavedState::read_file(&dir.path().join("state"), now);
    assert!(missing.unwrap().is_none());
    let unreadable = SavedState::read_file(dir.path(), now).unwrap_err();
    assert!(
        matches!(unreadable, SavedStateError::Io { .. }),
        "{unreadable}"
    );

    let upstream = followed(
        "u",
        answering([Backend::new(loopback())].into_iter().collect()),
    );
    let state = known(&upstream, async |_| {}).await;
    let json = state.to_json();
    for length in 0..json.len() {
        let error = refused_json(&json[..length], now);
        assert!(
            matches!(error, SavedStateError::Malformed { .. }),
            "{length}: {error}"
        );
    }
    let text = String::from_utf8(json.clone()).unwrap();
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert!(matches!(
        refused(newer.as_bytes()),
        SavedStateError::Version { found: 2, .. }
    ));
    for content in ["", "{}", "[]", "0\n", "\u{0}", "{\"version\":1}"] {
        let error = refused(content.as_bytes());
        assert!(
            matches!(error, SavedStateError::Malformed { .. }),
            "{content}: {error}"
        );
    }
    let hour = Duration::from_secs(3600);
    let early = SavedState::from_json(&json, now - hour).unwrap_err();
    assert!(matches!(early, SavedStateError::Future { .. }), "{early}");
    SavedState::from_json(&json, now - Duration::from_secs(30)).unwrap();

    // Sparse: it takes no room on the disk.
    let huge = dir.path().join("huge");
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let huge = SavedState::read_file(&huge, now).unwrap_err();
    assert!(matches!(huge, SavedStateError::TooLarge { .. }), "{huge}");
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let fifo = SavedState::read_file(&fifo, now).unwrap_err();
    assert!(matches!(fifo, SavedStateError::Io { .. }), "{fifo}");
}

fn refused_json(json: &[u8], now: SystemTime) -> SavedStateError {
    SavedState::from_json(json, now).unwrap_err()
}

#[test]
fn a_write_that_fails_keeps_the_old_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = followed(
        "u",
        answering([Backend::new(loopback())].into_iter().collect()),
    );
    let state = runtime.block_on(known(&upstream, async |_| {}));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none").join("state");
    state.write_file(&path).unwrap_err();
    // A directory cannot be replaced by a file.
    let path = dir.path().join("dir");
    fs::create_dir(&path).unwrap();
    state.write_file(&path).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
