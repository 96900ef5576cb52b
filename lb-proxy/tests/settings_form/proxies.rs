//! What settings build is what builders build.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::access::{Access, ClientZone, Excess, Network, Rate};
use lb_proxy::balancing::{KeyPart, OnBackendLoss, Queue, WaitFor};
use lb_proxy::client_hello::ClientHelloReader;
use lb_proxy::events::TracingEvents;
use lb_proxy::health::{AgentCheck, CheckSettings, HttpCheck, TcpCheck};
use lb_proxy::lb_core::policy::{BalanceFactor, Maglev};
use lb_proxy::lb_core::{Backend, BalancerConfig, FailLimit, SlowStart, Snapshot};
use lb_proxy::lb_discovery::settings::{SourceBuilder, SourceSettings};
use lb_proxy::lb_discovery::{DriverConfig, OnEmpty, Static};
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, TrustedNetworks};
use lb_proxy::settings::{
    Bandwidth, BindSource, HalfClose, Keepalive, OnRefusal, SocketOptions, Splice,
};
use lb_proxy::settings_file::{ListenerSettings, ProxySettings, UpstreamSettings};
use lb_proxy::{Limits, Listener, Proxy, Retry, Timeouts, Upstream};

use crate::{read, round_trip};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn backends() -> Snapshot {
    Snapshot::from_backends([Backend::new("127.0.0.1:446".parse().unwrap())])
}

fn echo() -> UpstreamSettings {
    UpstreamSettings::new([SourceSettings::Static(backends())])
}

/// The `Debug` text of the builder that the settings make, and of `expected` with the fingerprint of the settings.
#[track_caller]
fn same_upstream(
    settings: &UpstreamSettings,
    expected: impl FnOnce(lb_proxy::UpstreamBuilder) -> lb_proxy::UpstreamBuilder,
) {
    round_trip(settings);
    let built = settings
        .builder("echo", "", &mut SourceBuilder::new())
        .unwrap();
    let plain = Upstream::builder("echo").fingerprint(format!("{:?}", settings.sources));
    let expected = expected(plain.discovery(Static::new(backends())));
    assert_eq!(format!("{built:?}"), format!("{expected:?}"));
}

#[test]
fn every_setting_of_an_upstream_reaches_it() {
    let least: UpstreamSettings = read("{sources: [{static: ['127.0.0.1:446']}]}");
    assert_eq!(least, echo());
    same_upstream(&least, |builder| builder);
    let text = "{sources: [{static: ['127.0.0.1:446']}], policy: {maglev: {table_size: 13, balance_factor: 150}}, \
        hash_key: [client_ip_text, {text: ':'}], fail_limit: {max_fails: 3, fail_timeout: 1m}, \
        balancer: {slow_start: {window: 30s}, panic_threshold: 50}, discovery: {on_empty: apply, max_stale: 1h}, \
        queue: {capacity: 5, timeout: 3s, wait_for: anything}, on_removed: {drain: {within: 1m, spread: 10s}}, \
        on_unhealthy: {close: {spread: 5s}}, send_proxy: {version: v2, checksum: true, pass_tlvs: true, \
        local_destination: true, mapped_as_nginx: true, tlvs: [{kind: 224, value: a}]}, essential: true, \
        health_checks: [{check: {http: {path: /a, host: b, headers: {C: d}, statuses: [200, 300-302]}}, \
        settings: {interval: 1s}}, {check: tcp}, {check: {agent: {port: 8, send: x}}}]}";
    same_upstream(&read(text), |builder| {
        let three = NonZeroU32::new(3).unwrap();
        let factor = BalanceFactor::percent(150);
        let slow = SlowStart::new(seconds(30));
        let http = HttpCheck::try_new("/a").unwrap();
        let http = http.try_statuses([200..=200, 300..=302]).unwrap();
        let http = http.try_host("b").unwrap().try_header("C", "d").unwrap();
        let queue = Queue::new(5);
        builder
            .policy(Maglev::try_new(13).unwrap().balance_factor(factor))
            .hash_key([KeyPart::ClientIpText, KeyPart::text(":")])
            .fail_limit(Some(FailLimit::new(three, seconds(60))))
            .balancer_config(
                BalancerConfig::default()
                    .slow_start(slow)
                    .panic_threshold(50),
            )
            .discovery_config(
                DriverConfig::new()
                    .on_empty(OnEmpty::Apply)
                    .max_stale(Some(seconds(3600))),
            )
            .queue(Some(queue.timeout(seconds(3)).wait_for(WaitFor::Anything)))
            .on_removed(OnBackendLoss::Drain {
                within: seconds(60),
                spread: seconds(10),
            })
            .on_unhealthy(OnBackendLoss::Close { spread: seconds(5) })
            .send_proxy(Some(
                SendProxy::v2()
                    .checksum(true)
                    .pass_tlvs(true)
                    .local_destination(true)
                    .mapped_as_nginx(true)
                    .tlv(224, b"a"),
            ))
            .essential(true)
            .health_check(http, CheckSettings::default().interval(seconds(1)))
            .health_check(TcpCheck::new(), CheckSettings::default())
            .health_check(AgentCheck::new(8).send("x"), CheckSettings::default())
    });
    let off = "{sources: [{static: ['127.0.0.1:446']}], fail_limit: false, send_proxy: false}";
    same_upstream(&read(off), |builder| {
        builder.fail_limit(None).send_proxy(None)
    });
}

/// The `Debug` text of the only listener of `text`, with the addresses of handles in it.
#[track_caller]
fn listener(text: &str) -> String {
    let settings: ListenerSettings = read(text);
    round_trip(&settings);
    let mut proxy: ProxySettings = read("{client_zones: {clients: {ipv4_prefix: 24, rate: 10/s}}}");
    proxy.upstreams.insert("echo".into(), echo());
    proxy.listeners.push(settings);
    let mut shown = String::new();
    let show = |_: &_, listener| {
        shown = format!("{listener:?}");
        listener
    };
    drop(proxy.builder_with(|_, upstream| upstream, show).unwrap());
    shown
}

#[track_caller]
fn same_listener(text: &str, expected: impl FnOnce(&Upstream, &ClientZone) -> Listener) {
    let upstream = echo()
        .builder("echo", "", &mut SourceBuilder::new())
        .unwrap();
    let zone = ClientZone::builder()
        .ipv4_prefix(24)
        .rate(Some(Rate::per_second(10)));
    let expected = format!("{:?}", expected(&upstream.build().unwrap(), &zone.build()));
    assert_eq!(
        without_instants(&listener(text)),
        without_instants(&expected)
    );
}

/// Clocks begin when they are made, and hashers are random.
fn without_instants(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(at) = rest.find("clock: ") {
        kept += &rest[..at];
        rest = rest[at..].split_once("shards").map_or("", |(_, rest)| rest);
    }
    kept + rest
}

#[test]
fn every_setting_of_a_listener_reaches_it() {
    let plain = "{listen: '127.0.0.1:446', upstream: echo}";
    let addr = "127.0.0.1:446".parse().unwrap();
    assert_eq!(
        read::<ListenerSettings>(plain),
        ListenerSettings::new(std::net::SocketAddr::clone(&addr), "echo")
    );
    same_listener(plain, |upstream, _| Listener::new(addr, upstream));
    same_listener(
        "{listen: 'unix:/run/x.sock', upstream: echo, mode: '660'}",
        |upstream, _| Listener::unix(std::path::Path::new("/run/x.sock"), upstream).mode(0o660),
    );
    let text = "{listen: '127.0.0.1:446', upstream: echo, bind_to_port: false, backlog: 7, ipv6_only: true, reuse_port: true, \
        freebind: true, multipath: true, fast_open: 9, client_options: {nodelay: false, user_timeout: 1s}, limits: {sessions: 5, excess: refuse}, \
        access: [{allow: 10.0.0.0/8}, {deny: unix}, {deny: all}], client_limits: [{zone: clients, sessions: 3}, \
        {zone: clients, sessions: 4, key: [local_port]}], limit_before_access: true, limit_dry_run: true, removal_deadline: 1m, \
        proxy_protocol: {trusted: [10.0.0.0/24], trust_unix: true, required: false, untrusted: disbelieve, limit: 1KiB, timeout: 1s}, \
        client_hello: {limit: 2KiB, timeout: 2s}, preread_timeout: 3s, sessions: {label: a, timeouts: {idle: false}, \
        retry: {tries: 2}, half_close: end, on_refusal: close, splice: off, bandwidth: {upload: 1KiB/s}, \
        backend_options: {keepalive: {idle: 1m}}, bind_source: {addrs: [127.0.0.1, '127.0.0.1:9'], interface: lo, transparent: true}, \
        send_proxy: {version: v1}, abandon_silent: false, report_interval: 5s}}";
    same_listener(text, |upstream, zone| {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let access = Access::new()
            .allow(network("10.0.0.0/8"))
            .deny_unix()
            .deny(network("0.0.0.0/0"))
            .deny(network("::/0"));
        let trusted = TrustedNetworks::try_new(["10.0.0.0/24"]).unwrap();
        let header = ProxyProtocol::optional(trusted.trust_unix())
            .untrusted(lb_proxy::proxy_protocol::Untrusted::Disbelieve)
            .limit(1024)
            .timeout(seconds(1));
        let hello = ClientHelloReader::new().limit(2048).timeout(seconds(2));
        let source = BindSource::any()
            .addr("127.0.0.1".parse().unwrap())
            .addr_and_port("127.0.0.1:9".parse().unwrap());
        let options = SocketOptions::default();
        let limits = Limits::default().sessions(5);
        Listener::new(addr, upstream)
            .bind_to_port(false)
            .backlog(7)
            .ipv6_only(true)
            .reuse_port(true)
            .freebind(true)
            .multipath(true)
            .fast_open(Some(9))
            .client_options(options.nodelay(false).user_timeout(Some(seconds(1))))
            .limits(limits.excess(Excess::Refuse))
            .access(access)
            .limit_clients(zone, 3)
            .limit_keys(zone, [KeyPart::LocalPort], 4)
            .limit_before_access(true)
            .limit_dry_run(true)
            .removal_deadline(Some(seconds(60)))
            .preread(Arc::new(header))
            .preread(Arc::new(hello))
            .preread_timeout(seconds(3))
            .label("a")
            .timeouts(Timeouts::default().idle(None))
            .retry(Retry::default().tries(2))
            .half_close(HalfClose::End)
            .on_refusal(OnRefusal::Close)
            .splice(Splice::Off)
            .bandwidth(Bandwidth::default().upload(1024))
            .backend_options(options.keepalive(Some(Keepalive::default().idle(Some(seconds(60))))))
            .bind_source(source.interface("lo").transparent(true))
            .send_proxy(SendProxy::v1())
            .abandon_silent(false)
            .report_interval(Some(seconds(5)))
    });
}

#[test]
fn every_setting_of_a_proxy_reaches_it() {
    let text = "{may_be_empty: true, limits: {sessions: 9}, workers: {threads: 2}, detailed_metrics: true, track_sessions: true, \
        orphan_timeout: 1s, reserve_descriptors: 64, bind_timeout: 2s, pre_stop_delay: 3s, drain_timeout: false, close_spread: 4s}";
    let settings: ProxySettings = read(text);
    round_trip(&settings);
    let expected = Proxy::builder()
        .may_be_empty(true)
        .limits(Limits::default().sessions(9))
        .workers(lb_proxy::Workers::Threads(2))
        .detailed_metrics(true)
        .track_sessions(true)
        .orphan_timeout(Some(seconds(1)))
        .reserve_descriptors(64)
        .bind_timeout(seconds(2))
        .pre_stop_delay(seconds(3))
        .drain_timeout(None)
        .close_spread(seconds(4));
    let built = settings.builder().unwrap();
    assert_eq!(format!("{built:?}"), format!("{expected:?}"));
    let built = ProxySettings::default().builder().unwrap();
    assert_eq!(format!("{built:?}"), format!("{:?}", Proxy::builder()));
}

/// What no file can say is added to what a file says.
#[test]
fn a_program_adds_to_a_file() {
    let settings: ProxySettings = read(
        "{upstreams: {echo: {sources: []}}, listeners: [{listen: '127.0.0.1:0', upstream: echo}]}",
    );
    settings.build().unwrap_err();
    let proxy = settings.builder_with(
        |name, upstream| {
            assert_eq!(name, "echo");
            upstream.discovery(Static::new(backends()))
        },
        |settings, listener| {
            assert_eq!(settings.upstream, "echo".into());
            listener.hooks(Arc::new(TracingEvents::new()))
        },
    );
    proxy.unwrap().build().unwrap();
}
