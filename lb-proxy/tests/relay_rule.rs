//! The rule of the relay as a property: bytes that the proxy's kernel has acknowledged to a sender are read by the other
//! side before it sees a reset, whatever the two sides and the proxy do meanwhile, and a stream that was cut short does
//! not look complete.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lb_core::Backend;
use lb_discovery::{DriverConfig, ManualHandle, channel};
use lb_proxy::{Listener, Parting, Proxy, Splice, Timeouts, Upstream};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use support::kernel::{acknowledged, send_urgent};
use support::{Running, loopback, noise, reset_on_close, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// An urgent byte. Of several that the proxy has not passed yet, all but the last arrive among the others.
const URGENT: u8 = 0xff;

/// What the two sides send.
static BYTES: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [1, 2].map(|seed| {
        let mut bytes = noise(seed, 2 << 20);
        bytes.iter_mut().for_each(|byte| *byte &= 0x7f);
        bytes
    })
});

/// What one side does with its own stream.
#[derive(Clone, Copy, Debug)]
enum Act {
    Pause(u64),
    Urgent,
    Write(usize),
}

/// How one side ends its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Fin,
    Reset,
    /// Leaves the end to what happens to the session.
    Stay,
}

/// How one side reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reader {
    Eager,
    /// Not before the other side has done all it does, and then in pieces.
    Late,
    /// In pieces, with pauses.
    Slow,
}

#[derive(Clone, Debug)]
struct Plan {
    acts: Vec<Act>,
    end: End,
    reader: Reader,
}

/// What happens to the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    /// The server ends at once.
    Abort,
    /// The server drains and cuts sessions off one after the other.
    Drain,
    /// Nobody says anything for the idle time-out.
    Idle,
    None,
    /// The backend is removed.
    Remove,
}

#[derive(Clone, Debug)]
struct Case {
    splice: bool,
    client: Plan,
    server: Plan,
    event: Event,
    /// When the event happens.
    after: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let act = prop_oneof![
        1 => (0..20_u64).prop_map(Act::Pause),
        1 => Just(Act::Urgent),
        2 => (1..200_usize).prop_map(Act::Write),
        2 => (200..60_000_usize).prop_map(Act::Write),
    ];
    // Long enough to be spliced if there is a reader.
    let bulk = prop_oneof![3 => Just(None), 1 => Just(Some(Act::Write(1 << 20)))];
    let ends = prop_oneof![Just(End::Fin), Just(End::Reset), Just(End::Stay)];
    let readers = prop_oneof![Just(Reader::Eager), Just(Reader::Late), Just(Reader::Slow)];
    let acts = (bulk, prop::collection::vec(act, 0..6));
    (acts, ends, readers).prop_map(|((bulk, acts), end, reader)| Plan {
        acts: bulk.into_iter().chain(acts).collect(),
        end,
        reader,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let events = prop_oneof![
        3 => Just(Event::None),
        2 => Just(Event::Remove),
        1 => Just(Event::Abort),
        1 => Just(Event::Drain),
        1 => Just(Event::Idle),
    ];
    let plans = (plan(), plan());
    (any::<bool>(), plans, events, 0..60_u64).prop_map(
        |(splice, (mut client, mut server), event, after)| {
            for plan in [&mut client, &mut server] {
                match event {
                    Event::None if plan.end == End::Stay => plan.end = End::Fin,
                    Event::Idle => (plan.end, plan.reader) = (End::Stay, Reader::Eager),
                    _ => {}
                }
            }
            Case {
                splice,
                client,
                server,
                event,
                after,
            }
        },
    )
}

/// What is known of a stream on its way.
struct Track {
    /// Bytes that the sender's kernel took.
    sent: AtomicUsize,
    urgent: AtomicUsize,
    /// Whether the sender has done all it does.
    done: watch::Sender<bool>,
    /// The fewest bytes that have to arrive.
    owed: AtomicUsize,
}

impl Track {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sent: AtomicUsize::new(0),
            urgent: AtomicUsize::new(0),
            done: watch::Sender::new(false),
            owed: AtomicUsize::new(usize::MAX),
        })
    }

    /// What is acknowledged to `sender` now is owed, unless less is.
    fn owe_acknowledged(&self, sender: &TcpStream) {
        let urgent = self.urgent.load(SeqCst);
        let acknowledged = acknowledged(sender).saturating_sub(urgent);
        self.owed.fetch_min(acknowledged, SeqCst);
    }
}

/// What a side has read, and how that ended. `None` if it reset the connection itself.
struct Seen {
    bytes: Vec<u8>,
    end: Option<io::Result<()>>,
    /// Stays open until the other side has seen the end, too.
    _stream: Option<Arc<TcpStream>>,
}

async fn write(stream: &TcpStream, plan: &Plan, bytes: &[u8], track: &Track) -> io::Result<()> {
    let mut at = 0;
    for act in &plan.acts {
        match *act {
            Act::Pause(millis) => sleep(Duration::from_millis(millis)).await,
            Act::Urgent => {
                stream.writable().await?;
                match send_urgent(stream, URGENT) {
                    Ok(_) => {
                        track.urgent.fetch_add(1, SeqCst);
                        track.sent.fetch_add(1, SeqCst);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Act::Write(len) => {
                let end = at + len;
                while at < end {
                    stream.writable().await?;
                    match stream.try_write(&bytes[at..end]) {
                        Ok(n) => {
                            at += n;
                            track.sent.fetch_add(n, SeqCst);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(())
}

async fn read(
    stream: &TcpStream,
    how: Reader,
    other: &Track,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    if how == Reader::Late {
        let mut done = other.done.subscribe();
        let _ = done.wait_for(|done| *done).await;
    }
    let mut piece = vec![
        0;
        if how == Reader::Eager {
            1 << 18
        } else {
            1 << 14
        }
    ];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => bytes.extend(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if how == Reader::Slow {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Plays one side to its end.
async fn play(
    stream: Arc<TcpStream>,
    plan: Plan,
    bytes: &[u8],
    own: Arc<Track>,
    other: Arc<Track>,
) -> Seen {
    let mut seen = Vec::new();
    let writing = async {
        let written = write(&stream, &plan, bytes, &own).await;
        if plan.end == End::Reset {
            own.owe_acknowledged(&stream);
        }
        written
    };
    if plan.end == End::Reset {
        select! {
            _ = writing => {}
            () = async {
                let _ = read(&stream, plan.reader, &other, &mut seen).await;
                std::future::pending().await
            } => {}
        }
        reset_on_close(&stream);
        drop(stream);
        own.done.send_replace(true);
        return Seen {
            bytes: seen,
            end: None,
            _stream: None,
        };
    }
    let (written, ended) = {
        let finishing = async {
            let written = writing.await;
            if plan.end == End::Fin && written.is_ok() {
                let _ = socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write);
                own.owed
                    .fetch_min(own.sent.load(SeqCst) - own.urgent.load(SeqCst), SeqCst);
            }
            own.done.send_replace(true);
            written
        };
        tokio::join!(finishing, read(&stream, plan.reader, &other, &mut seen))
    };
    Seen {
        bytes: seen,
        _stream: Some(stream),
        // The kernel tells of a reset once, in writing or in reading.
        end: Some(ended.and(written)),
    }
}

/// A session through a proxy.
struct Scene {
    proxy: Running,
    sources: ManualHandle,
    backend: Backend,
    client: TcpStream,
    server: TcpStream,
}

impl Scene {
    async fn new(case: &Case) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let backend = Backend::new(listener.local_addr().unwrap());
        let (sources, manual) = channel([backend.clone()].into_iter().collect());
        let upstream = Upstream::builder("rule")
            .discovery(manual)
            .discovery_config(DriverConfig::default().debounce(Duration::from_millis(1)))
            .on_removed(Parting::Close {
                spread: Duration::ZERO,
            })
            .build()
            .unwrap();
        let idle = if case.event == Event::Idle { 2 } else { 60 };
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
        let proxy = Running::run(proxy).await;
        let client = proxy.connect().await;
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
            // There is no time for more than what the proxy's kernel has for the other side, nor for a side that sends.
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

/// Compares what one side has seen with what the `sender` has sent.
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
    // A server that ends has no time to wait until a reset overtakes nothing; an idle session ends cleanly.
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
