//! The settings of listeners and servers: values, defaults, inheritance.

use crate::config::error_log::LogLevel;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_proxy::access::Network;
use lb_proxy::proxy_protocol::Version;

use super::{parse, secs, stream};
use crate::config::proxy::BindAddress;
use crate::config::server::Server;
use crate::syntax::address::Host;

/// The time-outs of connecting and of silence.
fn time_outs(server: &Server) -> (Duration, Duration) {
    let proxy = &server.settings.proxy;
    (proxy.connect_timeout, proxy.timeout)
}

/// The limits on attempts: their number and their time.
fn retries(server: &Server) -> (Option<NonZeroU32>, Option<Duration>) {
    let proxy = &server.settings.proxy;
    (proxy.next_upstream_tries, proxy.next_upstream_timeout)
}

#[test]
fn parameters_of_listen() {
    let stream = stream(
        "server {
             listen 446;
             listen [::]:446 backlog=1 reuseport bind;
             listen 127.0.0.1:447 ipv6only=on;
             listen [::]:448 ipv6only=off;
             proxy_pass a:1;
         }",
    );
    let listens: Vec<_> = stream.servers[0]
        .listens
        .iter()
        .map(|listen| {
            (
                listen.addr.to_string(),
                listen.backlog,
                listen.ipv6only,
                listen.reuseport,
            )
        })
        .collect();
    assert_eq!(
        listens,
        [
            ("0.0.0.0:446".to_owned(), 511, true, false),
            ("[::]:446".to_owned(), 1, true, true),
            ("127.0.0.1:447".to_owned(), 511, true, false),
            ("[::]:448".to_owned(), 511, false, false),
        ]
    );
}

#[test]
fn defaults_of_a_server() {
    let stream = stream("server { listen 446; proxy_pass a:1; }");
    let server = &stream.servers[0];
    assert_eq!(time_outs(server), (secs(60), secs(600)));
    assert!(server.settings.proxy.next_upstream && server.settings.core.tcp_nodelay);
    assert_eq!(retries(server), (None, None));
    assert_eq!(server.settings.error_logs, []);
    assert_eq!(stream.upstreams[server.upstream.unwrap()].resolver, None);
    assert_eq!(
        stream.upstreams[server.upstream.unwrap()].resolver_timeout,
        secs(30)
    );
}

#[test]
fn settings_of_the_nearest_level_count() {
    let stream = stream(
        "server {
             listen 1; proxy_pass a:1;
             proxy_connect_timeout 3s; proxy_timeout 3; proxy_next_upstream on; tcp_nodelay on;
             proxy_next_upstream_tries 0; proxy_next_upstream_timeout 0;
         }
         # Their place makes no difference.
         proxy_connect_timeout 500ms; proxy_timeout 1h; proxy_next_upstream off; tcp_nodelay off;
         proxy_next_upstream_tries 2; proxy_next_upstream_timeout 2s;
         server { listen 2; proxy_pass a:1; }",
    );
    let [inner, outer] = &stream.servers[..] else {
        panic!("two servers");
    };
    assert_eq!(time_outs(inner), (secs(3), secs(3)));
    assert!(inner.settings.proxy.next_upstream && inner.settings.core.tcp_nodelay);
    assert_eq!(retries(inner), (None, None));
    assert_eq!(time_outs(outer), (Duration::from_millis(500), secs(3600)));
    assert!(!outer.settings.proxy.next_upstream && !outer.settings.core.tcp_nodelay);
    assert_eq!(retries(outer), (NonZeroU32::new(2), Some(secs(2))));
}

#[test]
fn limits_by_any_value_and_what_they_do() {
    let stream = stream(
        "limit_conn_zone $server_port$remote_addr zone=a:1m; limit_conn_zone x zone=b:64k;
         limit_conn_dry_run on;
         server { listen 1; proxy_pass 10.0.0.1:446; limit_conn_log_level info; }
         server { listen 2; proxy_pass 10.0.0.1:446; limit_conn_dry_run off; }",
    );
    let keys = stream.limit_conn_zones.iter().map(|zone| zone.key.text());
    assert_eq!(keys.collect::<Vec<_>>(), ["$server_port$remote_addr", "x"]);
    let settings = |server: &Server| {
        let settings = &server.settings.limit_conn_settings;
        (settings.dry_run, settings.log_level)
    };
    let servers: Vec<_> = stream.servers.iter().map(settings).collect();
    assert_eq!(servers, [(true, LogLevel::Info), (false, LogLevel::Error)]);
}

#[test]
fn limits_and_rules_for_clients() {
    let stream = stream(
        "limit_conn_zone $binary_remote_addr zone=a:1m; limit_conn_zone $remote_addr zone=b:64k;
         limit_conn a 10; deny 10.0.0.1; proxy_bind 127.0.0.2; proxy_socket_keepalive on;
         server { listen 1; proxy_pass 10.0.0.1:446; }
         server { listen 2 so_keepalive=1m::3; proxy_pass 10.0.0.1:446;
             limit_conn b 1; limit_conn a 2; allow 10.0.0.0/8; allow unix:; deny all; proxy_bind off; }",
    );
    let zones = stream.limit_conn_zones.iter();
    let zones: Vec<_> = zones
        .map(|zone| (zone.name.as_str(), zone.clients.get()))
        .collect();
    assert_eq!(zones, [("a", 16384), ("b", 1024)]);
    let limits = |server: &Server| -> Vec<(String, u32)> {
        let limits = server.settings.limit_conn.iter();
        limits
            .map(|limit| (limit.zone.clone(), limit.sessions.get()))
            .collect()
    };
    let rules = |server: &Server| -> Vec<(String, bool)> {
        let rules = server.settings.access.iter();
        let shown =
            |network: Option<Network>| network.map_or_else(|| "unix:".into(), |n| n.to_string());
        rules
            .map(|rule| (shown(rule.network), rule.allows))
            .collect()
    };
    let [first, second] = &stream.servers[..] else {
        panic!("two servers");
    };
    assert_eq!(limits(first), [("a".to_owned(), 10)]);
    assert_eq!(rules(first), [("10.0.0.1/32".to_owned(), false)]);
    let bind = first.settings.proxy.bind.as_ref().unwrap();
    let fixed = BindAddress::Fixed(([127, 0, 0, 2], 0).into());
    assert_eq!((&bind.source, bind.transparent), (&fixed, false));
    assert!(first.settings.proxy.socket_keepalive);
    assert_eq!(first.listens[0].so_keepalive, None);
    assert_eq!(limits(second), [("b".to_owned(), 1), ("a".to_owned(), 2)]);
    assert_eq!(
        rules(second),
        [
            ("10.0.0.0/8".to_owned(), true),
            ("unix:".to_owned(), true),
            ("0.0.0.0/0".to_owned(), false),
            ("::/0".to_owned(), false),
            ("unix:".to_owned(), false)
        ]
    );
    assert_eq!(second.settings.proxy.bind, None);
    let keepalive = second.listens[0].so_keepalive.unwrap();
    assert_eq!(keepalive.idle, Some(secs(60)));
    assert_eq!((keepalive.interval, keepalive.count), (None, Some(3)));
}

#[test]
fn addresses_of_ipv6_to_bind_to_and_mapped_networks() {
    for (text, addr) in [
        ("::1", "[::1]:0"),
        ("[::1]", "[::1]:0"),
        ("[::1]:5000", "[::1]:5000"),
        ("fe80::1", "[fe80::1]:0"),
        ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]:0"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
    ] {
        let stream = stream(&format!(
            "proxy_bind {text} transparent; server {{ listen 1; proxy_pass 10.0.0.1:446; }}"
        ));
        let bind = stream.servers[0].settings.proxy.bind.clone().unwrap();
        let fixed = BindAddress::Fixed(addr.parse().unwrap());
        assert_eq!((bind.source, bind.transparent), (fixed, true), "{text}");
    }
    let stream = stream(
        "server { listen 1; proxy_pass 10.0.0.1:446; deny ::ffff:192.0.2.0/120;
             set_real_ip_from ::ffff:192.0.2.1; }",
    );
    let rule = stream.servers[0].settings.access[0].network.unwrap();
    assert_eq!(rule.to_string(), "192.0.2.0/24");
    let trusted = &stream.servers[0].settings.real_ip_from;
    for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert!(trusted.contains(peer.parse().unwrap()), "{peer}");
    }
}

#[test]
fn a_listen_with_ports_or_a_name_is_several_listens() {
    let addrs = |listen: &str| {
        let stream = stream(&format!(
            "server {{ listen {listen} rcvbuf=64k; proxy_pass 10.0.0.1:446; }}"
        ));
        let listens = &stream.servers[0].listens;
        assert!(listens.iter().all(|listen| listen.rcvbuf == Some(65536)));
        listens
            .iter()
            .map(|listen| listen.endpoint().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        addrs("[::1]:446-448"),
        ["[::1]:446", "[::1]:447", "[::1]:448"]
    );
    assert_eq!(addrs("446-446"), ["0.0.0.0:446"]);
    assert_eq!(addrs("unix:/run/a.sock"), ["unix:/run/a.sock"]);
    let localhost = addrs("localhost:446");
    assert_eq!(localhost[0], "127.0.0.1:446");
    assert!(localhost[1..].iter().all(|addr| addr == "[::1]:446"));
}

#[test]
fn sockets_have_sizes_and_queues() {
    let stream = stream(
        "proxy_socket_rcvbuf 32k; server { listen 1 sndbuf=16k fastopen=9 multipath deferred bind backlog=7;
             proxy_pass unix:/run/a.sock; proxy_socket_sndbuf 64k; proxy_socket_rcvbuf 0; }
         server { listen 2; proxy_pass 10.0.0.1:446; set_real_ip_from localhost; }",
    );
    let [first, second] = &stream.servers[..] else {
        panic!("two servers");
    };
    let listen = &first.listens[0];
    assert_eq!((listen.sndbuf, listen.rcvbuf), (Some(16384), None));
    assert_eq!((listen.fastopen, listen.multipath), (Some(9), true));
    assert_eq!(listen.backlog, 7);
    let proxy = |server: &Server| {
        let proxy = &server.settings.proxy;
        (proxy.socket_rcvbuf, proxy.socket_sndbuf)
    };
    assert_eq!(proxy(first), (None, Some(65536)));
    assert_eq!(proxy(second), (Some(32768), None));
    let backend = &stream.upstreams[first.upstream.unwrap()].servers[0];
    assert_eq!(backend.host, Host::Unix("/run/a.sock".into()));
    let trusted = &second.settings.real_ip_from;
    assert!(trusted.contains([127, 0, 0, 1].into()));
}

#[test]
fn a_limit_needs_its_zone() {
    let error = parse("stream { limit_conn a 1;\nserver { listen 1; proxy_pass 10.0.0.1:446; } }");
    assert_eq!(
        error.unwrap_err().to_string(),
        "zero size shared memory zone \"a\" in test.conf:1"
    );
}

#[test]
fn headers_and_names_before_the_relay() {
    let stream = stream(
        "set_real_ip_from 10.0.0.0/8; proxy_protocol v2; proxy_half_close on; preread_timeout 5s;
         server { listen 1; proxy_pass 10.0.0.1:446; }
         server { listen 2 proxy_protocol; proxy_pass 10.0.0.1:446; set_real_ip_from 192.0.2.1;
             set_real_ip_from unix:; proxy_protocol on; proxy_protocol_timeout 1s;
             ssl_preread on; preread_buffer_size 4k; proxy_half_close off; }
         server { listen 3; proxy_pass 10.0.0.1:446; proxy_protocol off; }",
    );
    let trusts =
        |server: &Server, ip: &str| server.settings.real_ip_from.contains(ip.parse().unwrap());
    let [first, second, third] = &stream.servers[..] else {
        panic!("three servers");
    };
    assert!(!first.listens[0].proxy_protocol && second.listens[0].proxy_protocol);
    assert!(trusts(first, "10.1.2.3") && !trusts(first, "192.0.2.1"));
    assert!(trusts(second, "192.0.2.1") && !trusts(second, "10.1.2.3"));
    assert_eq!(first.settings.proxy.protocol, Some(Version::V2));
    assert_eq!(second.settings.proxy.protocol, Some(Version::V1));
    assert_eq!(third.settings.proxy.protocol, None);
    assert_eq!(first.settings.core.proxy_protocol_timeout, secs(30));
    assert_eq!(second.settings.core.proxy_protocol_timeout, secs(1));
    assert!(!first.settings.ssl_preread.enabled && second.settings.ssl_preread.enabled);
    assert_eq!(first.settings.core.preread_buffer_size, 16384);
    assert_eq!(second.settings.core.preread_buffer_size, 4096);
    assert_eq!(second.settings.core.preread_timeout, secs(5));
    assert!(first.settings.proxy.half_close && !second.settings.proxy.half_close);
}

#[test]
fn no_header_and_no_name_by_default() {
    let stream = stream("server { listen 1; proxy_pass 10.0.0.1:446; }");
    let server = &stream.servers[0];
    assert!(server.settings.real_ip_from.is_empty() && server.by_name.is_empty());
    assert_eq!(server.settings.proxy.protocol, None);
    assert!(!server.settings.ssl_preread.enabled && !server.settings.proxy.half_close);
    assert_eq!(server.settings.core.preread_timeout, secs(30));
}
