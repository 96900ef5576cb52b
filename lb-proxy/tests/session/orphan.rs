//! Sessions whose local address has left the machine. The proxy is only told so: the address is that of loopback.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::events::{CloseReason, Connection, Summary};
use lb_proxy::{Hooks, Listener, Proxy, ProxyBuilder, Timeouts};
use test_support::deadline::{eventually, ms, within};
use test_support::proxy::{RunningProxy, reload, upstream};
use test_support::sockets::loopback;
use test_support::streams::{fill, read_until_reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than a test.
const NEVER: Duration = Duration::from_secs(3600);

/// A proxy, and sessions from 127.0.0.1 to its backend.
struct Setting {
    proxy: RunningProxy,
    backend: TcpListener,
    reasons: Arc<EndReasons>,
}

#[derive(Debug, Default)]
struct EndReasons(Mutex<Vec<(CloseReason, String)>>);

impl Hooks for EndReasons {
    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        let letters = summary.termination().to_string();
        self.0.lock().unwrap().push((summary.reason, letters));
    }
}

impl Setting {
    async fn start(timeout: Option<Duration>) -> Self {
        let backend = TcpListener::bind(loopback()).await.unwrap();
        let reasons = Arc::new(EndReasons::default());
        let described = describe(&backend, &reasons, timeout);
        Self {
            proxy: RunningProxy::run(described).await,
            backend,
            reasons,
        }
    }

    async fn session(&self) -> (TcpStream, TcpStream) {
        self.session_of(local()).await
    }

    /// A session whose client connects to `ip`.
    async fn session_of(&self, ip: IpAddr) -> (TcpStream, TcpStream) {
        let to = (ip, self.proxy.addr.port());
        let mut client = TcpStream::connect(to).await.unwrap();
        let (mut server, _) = self.backend.accept().await.unwrap();
        // Both directions, so that the session relays.
        client.write_all(b"?").await.unwrap();
        server.read_u8().await.unwrap();
        (client, server)
    }

    fn lose(&self) {
        self.proxy.handle.note_address_lost(local());
    }

    fn return_address(&self) {
        self.proxy.handle.note_address_returned(local());
    }

    fn lost(&self) -> u64 {
        self.proxy.metrics().addresses_lost
    }
}

fn describe(
    backend: &TcpListener,
    reasons: &Arc<EndReasons>,
    timeout: Option<Duration>,
) -> ProxyBuilder {
    let upstream = upstream([Backend::new(backend.local_addr().unwrap())]);
    let any = (IpAddr::from([0; 4]), loopback().port()).into();
    let timeouts = Timeouts::default().idle(Some(NEVER));
    let listener = Listener::new(any, &upstream).timeouts(timeouts);
    let listener = listener.hooks(reasons.clone());
    let proxy = Proxy::builder().listener(listener).drain_timeout(None);
    proxy.orphan_timeout(timeout)
}

fn local() -> IpAddr {
    loopback().ip()
}

/// Bytes go both ways.
async fn assert_alive(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"!").await.unwrap();
    assert_eq!(within("a byte", server.read_u8()).await.unwrap(), b'!');
    server.write_all(b"!").await.unwrap();
    assert_eq!(within("a byte", client.read_u8()).await.unwrap(), b'!');
}

#[tokio::test]
async fn a_session_ends_when_its_address_is_lost_for_the_time() {
    let setting = Setting::start(Some(ms(50))).await;
    let (_idle, mut server) = setting.session().await;
    setting.lose();
    let left = within("the reset of the backend", read_until_reset(&mut server)).await;
    assert_eq!(left, b"");
    eventually("the end", || setting.lost() == 1).await;
    let reasons = setting.reasons.0.lock().unwrap().clone();
    assert_eq!(reasons, [(CloseReason::AddressLost, "CD".to_owned())]);
    setting.proxy.end().await;
}

#[tokio::test]
async fn the_backend_gets_what_the_client_had_sent_although_the_client_is_out_of_reach() {
    let setting = Setting::start(Some(ms(50))).await;
    let (mut client, mut server) = setting.session().await;
    // The client reads nothing, so the relay holds bytes for it, and the kernel does.
    fill(&server).await;
    client.write_all(b"last words").await.unwrap();
    setting.lose();
    // The time-out of an idle session is an hour. The reset of the backend overtakes nothing that was delivered.
    let left = within("the reset of the backend", read_until_reset(&mut server)).await;
    assert_eq!(left, b"last words");
    eventually("the end", || setting.lost() == 1).await;
    setting.proxy.end().await;
}

#[tokio::test]
async fn an_address_that_returns_in_time_ends_no_session_and_may_be_lost_again() {
    let setting = Setting::start(Some(NEVER)).await;
    let (mut client, mut server) = setting.session().await;
    for _ in 0..3 {
        setting.lose();
        assert_alive(&mut client, &mut server).await;
        setting.return_address();
    }
    let described = describe(&setting.backend, &setting.reasons, Some(ms(1)));
    // Port 0 of the description means the port that is open.
    reload(&setting.proxy, described).await.unwrap();
    assert_alive(&mut client, &mut server).await;
    // Sessions that wait for the return have the new time.
    setting.lose();
    within("the reset", read_until_reset(&mut server)).await;
    drop(client);
    setting.proxy.end().await;
}

#[tokio::test]
async fn sessions_of_other_addresses_go_on() {
    let setting = Setting::start(Some(ms(1))).await;
    let (mut client, mut server) = setting.session().await;
    // One in each cohort of sessions, so that all of them have been asked when these have ended.
    let lost = IpAddr::from([127, 0, 0, 2]);
    let mut leaving = Vec::new();
    for _ in 0..64 {
        leaving.push(setting.session_of(lost).await);
    }
    setting.proxy.handle.note_address_lost(lost);
    eventually("the ends", || setting.lost() == 64).await;
    assert_alive(&mut client, &mut server).await;
    drop((client, server, leaving));
    setting.proxy.end().await;
}

#[tokio::test]
async fn without_a_time_no_session_ends_and_no_loss_is_remembered() {
    let setting = Setting::start(None).await;
    let (mut client, mut server) = setting.session().await;
    setting.lose();
    assert_alive(&mut client, &mut server).await;
    let described = describe(&setting.backend, &setting.reasons, Some(ms(1)));
    reload(&setting.proxy, described).await.unwrap();
    let (mut later, mut other) = setting.session().await;
    assert_alive(&mut later, &mut other).await;
    assert_eq!(setting.lost(), 0);
    drop((client, server, later, other));
    setting.proxy.end().await;
}

#[tokio::test]
async fn sessions_that_wait_for_their_address_are_cut_off_as_others() {
    let setting = Setting::start(Some(NEVER)).await;
    let (_client, mut server) = setting.session().await;
    setting.lose();
    // It begins to relay while the address is lost.
    let (_later, mut other) = setting.session().await;
    setting.proxy.handle.abort();
    within("the reset", read_until_reset(&mut server)).await;
    within("the reset", read_until_reset(&mut other)).await;
    let handle = setting.proxy.handle.clone();
    let report = within("the end", setting.proxy.server).await.unwrap();
    let lost = handle.metrics().addresses_lost;
    assert_eq!((report.aborted, lost), (2, 0));
}
