//! A reload leaves a listener alone whose description is the same, and applies every difference.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;

use crate::access::{Access, ClientZone, Rate};
use crate::balancing::{HashKey, KeyPart};
use crate::client_hello::ClientHelloReader;
use crate::connection::Connection;
use crate::listener::Listener;
use crate::proxy_protocol::SendProxy;
use crate::routing::{VirtualServer, VirtualServers};
use crate::server::{Handle, Proxy, ProxyBuilder};
use crate::server_names::ServerNames;
use crate::settings::{Bandwidth, BindSource, HalfClose, OnRefusal, SocketOptions, Splice};
use crate::state::listener::ListenerState;
use crate::{Hooks, Limits, Retry, Timeouts, Upstream};

#[derive(Debug)]
struct NoHooks;

impl Hooks for NoHooks {}

fn addr() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A running server without connections.
struct Site {
    upstream: Upstream,
    handle: Handle,
}

impl Site {
    async fn start() -> Self {
        let upstream = Upstream::builder("test")
            .fixed(&Snapshot::default())
            .unwrap();
        let proxy = Proxy::builder().listen(addr(), &upstream).build().unwrap();
        let server = proxy.bind().await.unwrap();
        let handle = server.handle();
        tokio::spawn(server.run(std::future::pending()));
        Self { upstream, handle }
    }

    fn state(&self) -> Arc<ListenerState> {
        let mut states = self.handle.server.active().listener_states();
        assert_eq!(states.len(), 1);
        states.remove(0)
    }

    /// Whether a reload leaves the listener alone.
    async fn keeps(
        &self,
        change: impl Fn(Listener) -> Listener,
        of_proxy: impl Fn(ProxyBuilder) -> ProxyBuilder,
    ) -> bool {
        let before = self.state();
        let listener = change(Listener::new(addr(), &self.upstream));
        let proxy = of_proxy(Proxy::builder().listener(listener))
            .build()
            .unwrap();
        let report = self.handle.reload(proxy).await.unwrap();
        assert_eq!(report.listeners.kept.len(), 1, "{report:?}");
        Arc::ptr_eq(&before, &self.state())
    }
}

type SettingChange = Box<dyn Fn(Listener) -> Listener>;

fn change(change: impl Fn(Listener) -> Listener + 'static) -> SettingChange {
    Box::new(change)
}

/// Settings that are equal if they are described twice.
fn values() -> Vec<SettingChange> {
    let zone = ClientZone::builder().build();
    let keyed = zone.clone();
    let hooks: Arc<dyn Hooks> = Arc::new(NoHooks);
    let reader = Arc::new(ClientHelloReader::new());
    vec![
        change(|listener| listener.label("a name")),
        change(|listener| listener.backlog(16)),
        change(|listener| listener.fast_open(Some(4))),
        change(|listener| listener.reuse_port(true)),
        change(|listener| listener.limits(Limits::default().sessions(5))),
        change(|listener| listener.limits(Limits::default().rate(Rate::per_second(5)))),
        change(|listener| listener.access(Access::new().deny(IpAddr::from([10, 0, 0, 1])))),
        change(|listener| listener.nodelay(false)),
        change(|listener| listener.client_options(SocketOptions::default().nodelay(false))),
        change(|listener| listener.backend_options(SocketOptions::default().nodelay(false))),
        change(|listener| listener.bind_source(BindSource::any().addr([127, 0, 0, 2].into()))),
        change(|listener| listener.timeouts(Timeouts::default().connect(Duration::from_secs(1)))),
        change(|listener| listener.retry(Retry::default().tries(1))),
        change(|listener| listener.splice(Splice::Off)),
        change(|listener| listener.half_close(HalfClose::End)),
        change(|listener| listener.on_refusal(OnRefusal::Close)),
        change(|listener| listener.abandon_silent(false)),
        change(|listener| listener.report_interval(Some(Duration::from_secs(1)))),
        change(|listener| listener.preread_timeout(Duration::from_secs(1))),
        change(|listener| listener.removal_deadline(Some(Duration::from_secs(1)))),
        change(|listener| listener.limit_before_access(true)),
        change(|listener| listener.limit_dry_run(true)),
        change(|listener| listener.send_proxy(SendProxy::v1())),
        change(|listener| listener.bandwidth(Bandwidth::unlimited().upload(1000))),
        change(move |listener| listener.limit_clients(&zone, 3)),
        change(move |listener| listener.limit_keys(&keyed, [KeyPart::ClientPort], 3)),
        change(move |listener| listener.hooks(Arc::clone(&hooks))),
        change(move |listener| listener.preread(Arc::clone(&reader) as Arc<_>)),
    ]
}

/// Functions and tables, which cannot be compared.
fn functions() -> Vec<SettingChange> {
    let zone = ClientZone::builder().build();
    vec![
        change(|listener| listener.route(|_: &Connection| None::<Upstream>)),
        change(|listener| listener.bandwidth_of(|_| Bandwidth::unlimited())),
        change(|listener| listener.bind_source(BindSource::computed(|_| None))),
        change(|listener| listener.session_data(|_| 1_u8)),
        change(|listener| listener.hooks(NoHooks)),
        change(|listener| listener.preread(ClientHelloReader::new())),
        change(|listener| listener.server_names(ServerNames::new())),
        change(|listener| listener.limit_clients(&ClientZone::builder().build(), 3)),
        change(move |listener| {
            let key = KeyPart::custom("of one identity", |_| HashKey::none());
            listener.limit_keys(&zone, [key], 3)
        }),
        change(|listener| {
            let fixed = Upstream::builder("other")
                .fixed(&Snapshot::default())
                .unwrap();
            listener.sessions(VirtualServer::new(&fixed))
        }),
        change(|listener| {
            let fixed = Upstream::builder("other")
                .fixed(&Snapshot::default())
                .unwrap();
            let servers =
                VirtualServers::new().server(VirtualServer::new(&fixed).name("a.example"));
            listener.virtual_servers(servers)
        }),
    ]
}

#[tokio::test]
async fn equal_settings_leave_the_listener_alone_and_each_other_setting_applies() {
    let site = Site::start().await;
    let same = |proxy| proxy;
    assert!(site.keeps(|listener| listener, same).await);
    for (number, change) in values().iter().enumerate() {
        assert!(
            !site.keeps(change, same).await,
            "value {number} was not applied"
        );
        assert!(site.keeps(change, same).await, "value {number} is the same");
    }
    for (number, change) in functions().iter().enumerate() {
        for _ in 0..2 {
            assert!(
                !site.keeps(change, same).await,
                "function {number} was not applied"
            );
        }
    }
}

#[tokio::test]
async fn settings_of_the_whole_proxy_apply_to_each_listener() {
    let site = Site::start().await;
    let same = |listener| listener;
    let limits = |proxy: ProxyBuilder| proxy.limits(Limits::default().sessions(7));
    let detailed = |proxy: ProxyBuilder| proxy.detailed_metrics(true);
    assert!(!site.keeps(same, limits).await);
    assert!(site.keeps(same, limits).await);
    assert!(!site.keeps(same, detailed).await);
    assert!(site.keeps(same, detailed).await);
}

#[tokio::test]
async fn a_kept_listener_accepts_after_a_pause_and_after_reloads() {
    let site = Site::start().await;
    let same = |proxy| proxy;
    let addr = site.state().addr;
    for _ in 0..3 {
        site.handle.pause();
        assert!(site.keeps(|listener| listener, same).await);
        site.handle.resume();
        assert!(site.keeps(|listener| listener, same).await);
        // The upstream has no backends, so a client that is accepted is reset.
        let client = tokio::net::TcpStream::connect(addr).await.unwrap();
        let closed = client.readable();
        tokio::time::timeout(Duration::from_secs(10), closed)
            .await
            .unwrap()
            .unwrap();
    }
}
