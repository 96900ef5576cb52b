//! Decisions of a route function.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use lb_proxy::routing::RouteAction;
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, round_robin};
use test_support::sockets::{loopback, refusing};
use test_support::streams::{ask, assert_refused, fill, read_all};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};

/// A proxy whose route decides everything.
async fn routed(choose: impl Fn() -> RouteAction + Send + Sync + 'static) -> RunningProxy {
    let (_held, dead) = refusing();
    let unused = round_robin("unused", dead);
    let listener = Listener::new(loopback(), &unused).route(move |_| choose());
    RunningProxy::start(listener, None).await
}

#[tokio::test]
async fn a_response_arrives_whole_although_the_client_has_sent_bytes() {
    let response: Arc<[u8]> = noise(7, 3 << 20).into();
    let proxy = routed({
        let response = Arc::clone(&response);
        move || RouteAction::Respond(Arc::clone(&response))
    })
    .await;
    let mut client = proxy.connect().await;
    client.write_all(&[1; 1000]).await.unwrap();
    assert!(read_all(&mut client).await == *response);
    eventually("the end", || proxy.metrics().responded == 1).await;
    assert_eq!(proxy.metrics().bytes_to_clients, response.len() as u64);
    assert_eq!(proxy.metrics().connect_attempts, 0);
    proxy.end().await;
}

#[tokio::test]
async fn an_empty_response_is_the_end_alone() {
    let proxy = routed(|| RouteAction::Respond(Arc::default())).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "");
    proxy.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_response_is_given_up() {
    let proxy = routed(|| RouteAction::Respond(vec![7; 64 << 20].into())).await;
    let client = proxy.connect().await;
    let mut session = Box::pin(async {
        while proxy.metrics().idle_timeouts == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    });
    within("the time-out", &mut session).await;
    drop((session, client));
    proxy.end().await;
}

#[tokio::test]
async fn a_refusal_resets_the_client_and_is_logged_with_its_reason() {
    let log = Capture::install();
    let proxy = routed(|| RouteAction::Refuse("no tenant".into())).await;
    assert_refused(proxy.addr).await;
    eventually("the end", || proxy.metrics().route_refused == 1).await;
    let lines = log.take();
    let shown = |line: &String| line.contains("refused by the route") && line.contains("no tenant");
    assert!(lines.iter().any(shown), "{lines:?}");
    proxy.end().await;
}

#[tokio::test]
async fn a_choice_may_come_later() {
    let chosen = round_robin("chosen", named("late").await);
    let (_held, dead) = refusing();
    let listener = Listener::new(loopback(), &round_robin("unused", dead)).route({
        let chosen = chosen.clone();
        move |_| {
            let chosen = chosen.clone();
            RouteAction::later(async move {
                sleep(Duration::from_millis(1)).await;
                // A later choice may be put off again.
                RouteAction::later(async move { Some(chosen) })
            })
        }
    });
    let proxy = Proxy::builder().listener(listener).upstream(&chosen);
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "late");
    proxy.end().await;
}

/// Says when it is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A proxy whose choice is never made, and whether the future of the choice was dropped.
async fn undecided() -> (RunningProxy, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (begun, dropped) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let proxy = routed({
        let (begun, dropped) = (Arc::clone(&begun), Arc::clone(&dropped));
        move || {
            let (guard, begun) = (Guard(Arc::clone(&dropped)), Arc::clone(&begun));
            RouteAction::later(async move {
                begun.store(true, Relaxed);
                let _guard = guard;
                pending::<Option<Upstream>>().await
            })
        }
    })
    .await;
    (proxy, begun, dropped)
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_choice() {
    let (proxy, begun, dropped) = undecided().await;
    let client = proxy.connect().await;
    eventually("the choice", || begun.load(Relaxed)).await;
    drop(client);
    eventually("its end", || dropped.load(Relaxed)).await;
    eventually("the end", || proxy.metrics().clients_gone == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn an_abort_ends_the_choice() {
    let (proxy, begun, dropped) = undecided().await;
    let client = proxy.connect().await;
    eventually("the choice", || begun.load(Relaxed)).await;
    proxy.handle.abort();
    eventually("its end", || dropped.load(Relaxed)).await;
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_response() {
    let proxy = routed(|| RouteAction::Respond(noise(1, 8 << 20).into())).await;
    let mut client: TcpStream = proxy.connect().await;
    // Both directions are full before the client reads.
    fill(&client).await;
    assert!(read_all(&mut client).await == noise(1, 8 << 20));
    proxy.end().await;
}
