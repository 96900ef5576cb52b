//! The rule of the relay as a property. The other side reads all bytes that the proxy's kernel has acknowledged to a
//! sender before it sees a reset, whatever the two sides and the proxy do meanwhile. A truncated stream never looks
//! complete.

mod plan;
mod play;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lb_core::Backend;
use lb_discovery::ManualHandle;
use lb_proxy::settings::Splice;
use lb_proxy::{Listener, Proxy, Timeouts};
use plan::{Case, End, Event, Plan, Reader, case};
use play::{Seen, Track, play};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use socket2::SockRef;
use test_support::bytes::noise;
use test_support::deadline::within;
use test_support::proxy::{RunningProxy, removable};
use test_support::sockets::loopback;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// An urgent byte. Of several that the proxy has not read yet, all but the last become part of the stream.
const URGENT: u8 = 0xff;

/// The size of the receive buffer of a side that trickles.
const NARROW: usize = 20_000;

/// The bytes that the two sides send.
static BYTES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [1, 2].map(|seed| {
        let mut bytes = noise(seed, 2 << 20);
        bytes.iter_mut().for_each(|byte| *byte &= 0x7f);
        bytes
    })
});

/// A session through a proxy.
struct Scene {
    proxy: RunningProxy,
    sources: ManualHandle,
    backend: Backend,
    client: TcpStream,
    server: TcpStream,
}

impl Scene {
    async fn new(case: &Case) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        if case.server.reader == Reader::Trickle {
            SockRef::from(&listener)
                .set_recv_buffer_size(NARROW)
                .unwrap();
        }
        let (upstream, sources, backend) = removable(listener.local_addr().unwrap());
        let is_short = case.event == Event::Idle || case.trickles();
        let idle = if is_short { 2 } else { 60 };
        let splice = if case.splice {
            Splice::Auto
        } else {
            Splice::Off
        };
        let to_proxy = Listener::new(loopback(), &upstream)
            .splice(splice)
            .timeouts(Timeouts::default().idle(Some(Duration::from_secs(idle))));
        let proxy = Proxy::builder()
            .listener(to_proxy)
            .drain_timeout(Some(Duration::from_millis(1)))
            .close_spread(Duration::from_secs(5));
        let proxy = RunningProxy::run(proxy).await;
        let client = TcpSocket::new_v4().unwrap();
        if case.client.reader == Reader::Trickle {
            client
                .set_recv_buffer_size(u32::try_from(NARROW).unwrap())
                .unwrap();
        }
        let client = client.connect(proxy.addr).await.unwrap();
        let (server, _) = within("a connection", listener.accept()).await.unwrap();
        Self {
            proxy,
            sources,
            backend,
            client,
            server,
        }
    }
}

async fn run(case: Case) -> TestCaseResult {
    let Scene {
        proxy,
        sources,
        backend,
        client,
        server,
    } = Scene::new(&case).await;
    let (up, down) = (Track::new(), Track::new());
    let (client, server) = (Arc::new(client), Arc::new(server));
    let senders = [
        (&up, Arc::downgrade(&client)),
        (&down, Arc::downgrade(&server)),
    ];
    let [to_server, to_client] = &*BYTES;
    let happening = async {
        sleep(Duration::from_millis(case.after)).await;
        if !matches!(case.event, Event::Idle | Event::None) {
            for (track, sender) in &senders {
                if let Some(sender) = sender.upgrade() {
                    track.owe_acknowledged(&sender);
                }
            }
        }
        if case.event == Event::Abort {
            // An abort waits neither for bytes that the proxy's kernel does not have nor for a side that sends.
            let metrics = proxy.metrics();
            for (track, reader, handed) in [
                (&up, &down, metrics.bytes_to_backends),
                (&down, &up, metrics.bytes_to_clients),
            ] {
                let has_sent = reader.owed.load(SeqCst) + 2 >= reader.sent.load(SeqCst);
                if !(*reader.done.borrow() && has_sent) {
                    track.owed.store(0, SeqCst);
                }
                let urgent = track.urgent.load(SeqCst);
                let handed = usize::try_from(handed).unwrap().saturating_sub(urgent);
                track.owed.fetch_min(handed, SeqCst);
            }
        }
        match case.event {
            Event::Abort => proxy.handle.abort(),
            Event::Drain => proxy.handle.shutdown(),
            Event::Remove => drop(sources.remove(backend.addr)),
            Event::Idle | Event::None => {}
        }
    };
    let playing = async {
        tokio::join!(
            play(
                client,
                case.client.clone(),
                to_server,
                up.clone(),
                down.clone()
            ),
            play(
                server,
                case.server.clone(),
                to_client,
                down.clone(),
                up.clone()
            ),
            happening,
        )
    };
    let (at_client, at_server, ()) = within(&format!("{case:?}"), playing).await;
    check(&case, &case.server, &down, to_client, at_client, "client")?;
    check(&case, &case.client, &up, to_server, at_server, "server")?;
    within("the end", proxy.end()).await;
    Ok(())
}

/// Compares the bytes and the end that one side read with those that `sender` sent.
fn check(
    case: &Case,
    sender: &Plan,
    track: &Track,
    sent: &[u8],
    seen: Seen,
    at: &str,
) -> TestCaseResult {
    let Some(end) = seen.end else {
        return Ok(());
    };
    let bytes: Vec<u8> = seen
        .bytes
        .into_iter()
        .filter(|byte| *byte != URGENT)
        .collect();
    prop_assert!(
        sent.starts_with(&bytes),
        "the {at} read other bytes: {case:?}"
    );
    let owed = match track.owed.load(SeqCst) {
        usize::MAX => 0,
        owed => owed,
    };
    prop_assert!(
        bytes.len() >= owed,
        "the {at} read {} of {owed} bytes, then {end:?}: {case:?}",
        bytes.len(),
    );
    let all = track.sent.load(SeqCst) - track.urgent.load(SeqCst);
    let is_complete = sender.end == End::Fin && bytes.len() == all;
    // An aborted server does not wait until a reset would overtake nothing. An idle session ends cleanly.
    let may_be_clean =
        is_complete || matches!(case.event, Event::Abort | Event::Drain | Event::Idle);
    prop_assert!(
        end.is_err() || may_be_clean,
        "cut short, and a clean end at the {at}: {case:?}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 6,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_acknowledged_is_read(cases in prop::collection::vec(case(), 12)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut sessions: JoinSet<TestCaseResult> = cases.into_iter().map(run).collect();
            while let Some(session) = sessions.join_next().await {
                session.unwrap()?;
            }
            TestCaseResult::Ok(())
        })?;
    }
}
