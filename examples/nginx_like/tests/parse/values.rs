//! What is read: values, defaults, inheritance, warnings.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use lb_proxy::proxy_protocol::Version;
use nginx_like::config::{
    AddressFamilies, ConfigError, Host, LogLevel, LogTarget, Method, Server, WorkerProcesses,
};

use crate::{In, parse, stream};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn warnings(text: &str) -> Vec<String> {
    let warnings = parse(text).unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing() {
    let config = parse("").unwrap();
    assert_eq!(config.user, None);
    assert_eq!(
        config.worker_processes,
        WorkerProcesses::Count(1.try_into().unwrap())
    );
    assert_eq!(config.worker_rlimit_nofile, None);
    assert_eq!(config.error_logs, []);
    assert_eq!(config.pid, None);
    assert_eq!(config.daemon, None);
    assert_eq!(config.worker_connections.get(), 512);
    assert!(config.stream.is_none());
    assert_eq!(config.warnings, []);
}

#[test]
fn main_level() {
    let config = parse(
        "user web www; worker_processes 4; worker_rlimit_nofile 0; daemon OFF;
         events { worker_connections 10; }",
    )
    .unwrap();
    let user = config.user.unwrap();
    assert_eq!(
        (user.name.as_str(), user.group.as_deref()),
        ("web", Some("www"))
    );
    assert_eq!(
        config.worker_processes,
        WorkerProcesses::Count(4.try_into().unwrap())
    );
    assert_eq!(config.worker_rlimit_nofile, Some(0));
    assert_eq!(config.daemon, Some(false));
    assert_eq!(config.worker_connections.get(), 10);

    let config = parse("user web; worker_processes auto;").unwrap();
    assert_eq!(config.user.unwrap().group, None);
    assert_eq!(config.worker_processes, WorkerProcesses::Auto);
}

#[test]
fn logs() {
    let config = parse("error_log stderr;\nerror_log a debug;\nerror_log /b emerg;").unwrap();
    let logs: Vec<_> = config
        .error_logs
        .into_iter()
        .map(|log| (log.target, log.level))
        .collect();
    let file = |name: &str| LogTarget::File(PathBuf::from(name));
    assert_eq!(
        logs,
        [
            (LogTarget::Stderr, LogLevel::Error),
            (file("a"), LogLevel::Debug),
            (file("/b"), LogLevel::Emerg),
        ]
    );
    assert!(LogLevel::Debug < LogLevel::Error && LogLevel::Error < LogLevel::Emerg);
}

#[test]
fn error_logs_of_the_nearest_level() {
    let config = parse(
        "error_log main; stream {
             server { listen 1; proxy_pass a:1; }
             server { listen 2; proxy_pass a:1; error_log server; error_log stderr; }
         }",
    )
    .unwrap();
    let lines =
        |server: &Server| -> Vec<_> { server.error_logs.iter().map(|log| log.span.line).collect() };
    let servers = config.stream.unwrap().servers;
    assert_eq!(lines(&servers[0]), [1]);
    assert_eq!(lines(&servers[1]), [3, 3]);

    let config = parse(
        "error_log main;
         stream { error_log stream; server { listen 1; proxy_pass a:1; } }",
    )
    .unwrap();
    assert_eq!(config.error_logs.len(), 1);
    assert_eq!(lines(&config.stream.unwrap().servers[0]), [2]);
}

#[test]
fn upstream_servers() {
    let stream = stream(
        "upstream u {
             server node1.example.com:446;
             server 10.0.0.2:447 weight=65535 max_fails=0 fail_timeout=1m max_conns=9 down resolve;
             server [2001:db8::3]:448 backup max_conns=0;
         }",
    );
    let servers = &stream.upstreams[0].servers;

    let server = &servers[0];
    assert_eq!(server.host, Host::Name("node1.example.com".to_owned()));
    assert_eq!(
        (server.port, server.weight.get(), server.max_fails),
        (446, 1, 1)
    );
    assert_eq!((server.fail_timeout, server.max_conns), (secs(10), None));
    assert_eq!((server.backup, server.down), (false, false));

    let server = &servers[1];
    assert_eq!(server.host, Host::Ip([10, 0, 0, 2].into()));
    assert_eq!(
        (server.port, server.weight.get(), server.max_fails),
        (447, 65535, 0)
    );
    assert_eq!(
        (server.fail_timeout, server.max_conns),
        (secs(60), NonZeroU32::new(9))
    );
    assert_eq!((server.backup, server.down), (false, true));

    let server = &servers[2];
    assert_eq!(server.host, Host::Ip("2001:db8::3".parse().unwrap()));
    assert_eq!(
        (server.port, server.max_conns, server.backup),
        (448, None, true)
    );
    assert_eq!(server.span.to_string(), "test.conf:4");
}

#[test]
fn methods() {
    for (text, method) in [
        ("", Method::RoundRobin),
        ("least_conn;", Method::LeastConn),
        ("random;", Method::Random),
        ("random two;", Method::RandomTwo),
        ("least_time connect;", Method::LeastTime),
        ("random two least_conn;", Method::RandomTwo),
        ("random; least_conn;", Method::LeastConn),
    ] {
        let stream = stream(&format!("upstream u {{ {text} server a:1; }}"));
        assert_eq!(stream.upstreams[0].method, method, "{text}");
    }
}

#[test]
fn hash_keys() {
    let [client, server] = ["10.0.0.7:5000", "10.0.0.1:446"].map(|a| a.parse().unwrap());
    for (text, expected, consistent) in [
        ("hash $remote_addr;", "10.0.0.7", false),
        ("hash $remote_addr consistent;", "10.0.0.7", true),
        (
            "hash \"${remote_addr} $server_port\";",
            "10.0.0.7 446",
            false,
        ),
        ("hash '' consistent;", "", true),
    ] {
        let stream = stream(&format!("upstream u {{ {text} server a:1; }}"));
        let method = &stream.upstreams[0].method;
        let Method::Hash { key, consistent: c } = method else {
            panic!("{text}: {method:?}");
        };
        assert_eq!(key.of(client, server), expected.as_bytes(), "{text}");
        assert_eq!(*c, consistent, "{text}");
    }
}

#[test]
fn listeners() {
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
fn server_defaults() {
    let stream = stream("server { listen 446; proxy_pass a:1; }");
    let server = &stream.servers[0];
    assert_eq!(
        (server.connect_timeout, server.timeout),
        (secs(60), secs(600))
    );
    assert!(server.next_upstream && server.tcp_nodelay);
    assert_eq!(
        (server.next_upstream_tries, server.next_upstream_timeout),
        (None, None)
    );
    assert_eq!(server.error_logs, []);
    assert_eq!(stream.upstreams[server.upstream].resolver, None);
    assert_eq!(stream.upstreams[server.upstream].resolver_timeout, secs(30));
}

#[test]
fn settings_of_the_nearest_level() {
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
    assert_eq!((inner.connect_timeout, inner.timeout), (secs(3), secs(3)));
    assert!(inner.next_upstream && inner.tcp_nodelay);
    assert_eq!(
        (inner.next_upstream_tries, inner.next_upstream_timeout),
        (None, None)
    );
    assert_eq!(
        (outer.connect_timeout, outer.timeout),
        (Duration::from_millis(500), secs(3600))
    );
    assert!(!outer.next_upstream && !outer.tcp_nodelay);
    assert_eq!(outer.next_upstream_tries, NonZeroU32::new(2));
    assert_eq!(outer.next_upstream_timeout, Some(secs(2)));
}

#[test]
fn services() {
    let long = format!("{0}.{0}.{0}.{0}.{0}", "s".repeat(60));
    for (server, expected) in [
        (
            "backend.test service=http resolve",
            "_http._tcp.backend.test",
        ),
        (
            "backend.test resolve service=_http",
            "_http._tcp.backend.test",
        ),
        (
            "backend.test service=_http._tcp resolve",
            "_http._tcp.backend.test",
        ),
        (
            "example.test service=server1.backend resolve",
            "server1.backend.example.test",
        ),
        ("backend service=tcp-echo resolve", "_tcp-echo._tcp.backend"),
        (
            "backend.test. service=http resolve",
            "_http._tcp.backend.test.",
        ),
        (
            "backend.test service=a service=b resolve",
            "_b._tcp.backend.test",
        ),
    ] {
        let stream = stream(&format!(
            "upstream u {{ server {server} weight=3 max_fails=2; }}"
        ));
        let server = &stream.upstreams[0].servers[0];
        assert_eq!(server.host, Host::Service(expected.to_owned()));
        assert_eq!(
            (server.port, server.weight.get(), server.max_fails),
            (0, 3, 2)
        );
    }
    let text = format!("stream {{ upstream u {{ server a.test service={long} resolve; }} }}");
    assert!(parse(&text).is_err());
}

#[test]
fn resolvers() {
    let stream = stream(
        "resolver 10.0.0.1 [::1]:5353 valid=1m ipv6=off; resolver_timeout 5s;
         upstream outer { server a:1; }
         upstream inner { server a:1; resolver 10.0.0.2 ipv4=off; resolver_timeout 500ms; }",
    );
    let [outer, inner] = &stream.upstreams[..] else {
        panic!("two upstreams");
    };
    assert_eq!(outer.resolver_timeout, secs(5));
    let resolver = outer.resolver.as_ref().unwrap();
    assert_eq!(
        resolver.name_servers,
        [
            "10.0.0.1:53".parse().unwrap(),
            "[::1]:5353".parse().unwrap()
        ]
    );
    assert_eq!(
        (resolver.valid, resolver.families),
        (Some(secs(60)), AddressFamilies::Ipv4)
    );

    assert_eq!(inner.resolver_timeout, Duration::from_millis(500));
    let resolver = inner.resolver.as_ref().unwrap();
    assert_eq!(resolver.name_servers, ["10.0.0.2:53".parse().unwrap()]);
    assert_eq!(
        (resolver.valid, resolver.families),
        (None, AddressFamilies::Ipv6)
    );
}

#[test]
fn servers_find_their_upstream() {
    let stream = stream(
        "server { listen 1; proxy_pass LATER; }
         upstream earlier { server a:1; }
         upstream later { server a:1; }
         server { listen 2; proxy_pass earlier; }",
    );
    let found: Vec<_> = stream
        .servers
        .iter()
        .map(|server| server.upstream)
        .collect();
    assert_eq!(found, [1, 0]);
}

#[test]
fn proxy_pass_to_a_host() {
    let stream = stream(
        "upstream u { server a:1; }
         server { listen 1; proxy_pass a:446; }
         server { listen 2; proxy_pass 10.0.0.1:446; }
         server { listen 3; proxy_pass a:446; }
         server { listen 4; proxy_pass a:446; resolver 10.0.0.53; }",
    );
    let found: Vec<_> = stream
        .servers
        .iter()
        .map(|server| server.upstream)
        .collect();
    assert_eq!(
        found,
        [1, 2, 1, 3],
        "they share an upstream unless they look the name up elsewhere"
    );
    let upstream = &stream.upstreams[1];
    assert_eq!(
        (upstream.name.as_str(), &upstream.method),
        ("a:446", &Method::RoundRobin)
    );
    assert_eq!(
        (&upstream.servers[0].host, upstream.servers[0].port),
        (&Host::Name("a".to_owned()), 446)
    );
    assert_eq!(upstream.servers.len(), 1);
    assert!(stream.upstreams[1].resolver.is_none() && stream.upstreams[3].resolver.is_some());
}

#[test]
fn warnings_are_kept() {
    for (place, text, warning) in [
        (
            In::Main,
            "\nload_module a.so;",
            r#"the "load_module" directive has no effect here"#,
        ),
        (
            In::Events,
            "multi_accept on;",
            r#"the "multi_accept" directive has no effect here"#,
        ),
        (
            In::Server,
            "proxy_buffer_size 1k;",
            r#"the "proxy_buffer_size" directive has no effect here"#,
        ),
        (
            In::Upstream,
            "server a:1; random; least_conn;",
            "load balancing method redefined",
        ),
        (
            In::Stream,
            "resolver 10.0.0.1 status_zone=a;",
            r#"the "status_zone=a" parameter has no effect here"#,
        ),
        (
            In::StreamWithU,
            "server { listen 1; proxy_pass u; resolver 10.0.0.1; }",
            r#"the resolver of this server has no effect on upstream "u""#,
        ),
    ] {
        assert_eq!(
            warnings(&place.wrap(text)),
            [format!("{warning} in test.conf:2")]
        );
    }
}

#[test]
fn not_supported_is_not_a_mistake() {
    let error = |place: In, text| -> ConfigError { parse(&place.wrap(text)).unwrap_err() };
    for (place, text) in [
        (In::Main, "http { }"),
        (In::Stream, "map $remote_addr $b { }"),
        (In::Stream, "map $ssl_preread_server_name $b { }"),
        (In::Listen, "446 udp"),
        (In::Listen, "unix:/a"),
        (In::Upstream, "server unix:/a;"),
        (In::UpstreamServer, "weight=65536"),
    ] {
        assert!(error(place, text).is_not_supported(), "{text}");
    }
    for (place, text) in [
        (In::Main, "foo;"),
        (In::Listen, "446 foo"),
        (In::UpstreamServer, "weight=0"),
    ] {
        assert!(!error(place, text).is_not_supported(), "{text}");
    }
}

#[test]
fn errors_know_their_place() {
    let error = parse("\n\nfoo;").unwrap_err();
    let span = error.span().unwrap();
    assert_eq!((span.file.to_str(), span.line), (Some("test.conf"), 3));
}

#[test]
fn who_may_connect() {
    let stream = stream(
        "limit_conn_zone $binary_remote_addr zone=a:1m; limit_conn_zone $remote_addr zone=b:64k;
         limit_conn a 10; deny 10.0.0.1; proxy_bind 127.0.0.2; proxy_socket_keepalive on;
         server { listen 1; proxy_pass 10.0.0.1:446; }
         server { listen 2 so_keepalive=1m::3; proxy_pass 10.0.0.1:446;
             limit_conn b 1; limit_conn a 2; allow 10.0.0.0/8; allow unix:; deny all; proxy_bind off; }",
    );
    let zones = stream.client_zones.iter();
    let zones: Vec<_> = zones
        .map(|zone| (zone.name.as_str(), zone.clients.get()))
        .collect();
    assert_eq!(zones, [("a", 16384), ("b", 1024)]);
    let limits = |server: &Server| -> Vec<(String, u32)> {
        let limits = server.client_limits.iter();
        limits
            .map(|limit| (limit.zone.clone(), limit.sessions.get()))
            .collect()
    };
    let rules = |server: &Server| -> Vec<(String, bool)> {
        let rules = server.access.iter();
        rules
            .map(|rule| (rule.network.to_string(), rule.allows))
            .collect()
    };
    let [first, second] = &stream.servers[..] else {
        panic!("two servers");
    };
    assert_eq!(limits(first), [("a".to_owned(), 10)]);
    assert_eq!(rules(first), [("10.0.0.1/32".to_owned(), false)]);
    assert_eq!(first.bind, Some([127, 0, 0, 2].into()));
    assert!(first.socket_keepalive);
    assert_eq!(first.listens[0].so_keepalive, None);
    assert_eq!(limits(second), [("b".to_owned(), 1), ("a".to_owned(), 2)]);
    assert_eq!(
        rules(second),
        [
            ("10.0.0.0/8".to_owned(), true),
            ("0.0.0.0/0".to_owned(), false),
            ("::/0".to_owned(), false)
        ]
    );
    assert_eq!(second.bind, None);
    let keepalive = second.listens[0].so_keepalive.unwrap();
    assert_eq!(keepalive.idle, Some(secs(60)));
    assert_eq!((keepalive.interval, keepalive.count), (None, Some(3)));
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
fn kubernetes() {
    use nginx_like::config::{KubernetesBackends, KubernetesPort};

    let stream = stream(
        "upstream u {
            kubernetes default/echo;
            kubernetes prod/echo port=80 address=node kubeconfig=a/b.conf context=east;
            kubernetes prod/echo address=pod port=http-2;
            kubernetes_pods default/app.kubernetes.io/name=echo,tier!=b port=446;
        }
        server { listen 446; proxy_pass u; }",
    );
    let upstream = &stream.upstreams[0];
    assert!(upstream.servers.is_empty());
    let [first, second, third, fourth] = &upstream.kubernetes[..] else {
        panic!("{:?}", upstream.kubernetes);
    };
    let service = |port| KubernetesBackends::Service {
        service: "echo".to_owned(),
        port,
    };
    assert_eq!(first.namespace, "default");
    assert_eq!(first.backends, service(None));
    assert_eq!((&first.kubeconfig, &first.context), (&None, &None));
    assert_eq!(first.span.line, 2);
    assert_eq!(second.namespace, "prod");
    let nodes = KubernetesBackends::Nodes {
        service: "echo".to_owned(),
        port: Some(KubernetesPort::Number(80)),
    };
    assert_eq!(second.backends, nodes);
    assert_eq!(second.kubeconfig, Some(PathBuf::from("a/b.conf")));
    assert_eq!(second.context.as_deref(), Some("east"));
    let name = KubernetesPort::Name("http-2".to_owned());
    assert_eq!(third.backends, service(Some(name)));
    let pods = KubernetesBackends::Pods {
        selector: "app.kubernetes.io/name=echo,tier!=b".to_owned(),
        port: KubernetesPort::Number(446),
    };
    assert_eq!(fourth.backends, pods);
}

#[test]
fn what_comes_first() {
    let stream = stream(
        "set_real_ip_from 10.0.0.0/8; proxy_protocol v2; proxy_half_close on; preread_timeout 5s;
         server { listen 1; proxy_pass 10.0.0.1:446; }
         server { listen 2 proxy_protocol; proxy_pass 10.0.0.1:446; set_real_ip_from 192.0.2.1;
             set_real_ip_from unix:; proxy_protocol on; proxy_protocol_timeout 1s;
             ssl_preread on; preread_buffer_size 4k; proxy_half_close off; }
         server { listen 3; proxy_pass 10.0.0.1:446; proxy_protocol off; }",
    );
    let trusts = |server: &Server, ip: &str| server.real_ip_from.contains(ip.parse().unwrap());
    let [first, second, third] = &stream.servers[..] else {
        panic!("three servers");
    };
    assert!(!first.listens[0].proxy_protocol && second.listens[0].proxy_protocol);
    assert!(trusts(first, "10.1.2.3") && !trusts(first, "192.0.2.1"));
    assert!(trusts(second, "192.0.2.1") && !trusts(second, "10.1.2.3"));
    assert_eq!(first.proxy_protocol, Some(Version::V2));
    assert_eq!(second.proxy_protocol, Some(Version::V1));
    assert_eq!(third.proxy_protocol, None);
    assert_eq!(first.proxy_protocol_timeout, secs(30));
    assert_eq!(second.proxy_protocol_timeout, secs(1));
    assert!(!first.ssl_preread && second.ssl_preread);
    assert_eq!(first.preread_buffer_size, 16384);
    assert_eq!(second.preread_buffer_size, 4096);
    assert_eq!(second.preread_timeout, secs(5));
    assert!(first.half_close && !second.half_close);
}

#[test]
fn nothing_comes_first_by_default() {
    let stream = stream("server { listen 1; proxy_pass 10.0.0.1:446; }");
    let server = &stream.servers[0];
    assert!(server.real_ip_from.is_empty() && server.by_name.is_empty());
    assert_eq!(server.proxy_protocol, None);
    assert!(!server.ssl_preread && !server.half_close);
    assert_eq!(server.preread_timeout, secs(30));
}

#[test]
fn a_map_names_upstreams() {
    let stream = stream(
        "map $ssl_preread_server_name $name {
             hostnames; volatile;
             a.example.com one; *.example.com 10.0.0.2:446;
             \\default.test one;
             default TWO;
         }
         upstream one { server 10.0.0.1:446; }
         upstream two { server 10.0.0.1:446; }
         server { listen 1; ssl_preread on; proxy_pass $NAME; }
         server { listen 2; proxy_pass $name; }",
    );
    let [first, second] = &stream.servers[..] else {
        panic!("two servers");
    };
    let to = |name: &str| {
        let upstream = first.by_name.find(name).unwrap_or(&first.upstream);
        stream.upstreams[*upstream].name.as_str()
    };
    assert_eq!(to("A.example.com"), "one");
    assert_eq!(to("b.example.com"), "10.0.0.2:446");
    assert_eq!(to("default.test"), "one");
    assert_eq!(to("other.test"), "two");
    // Servers share what a map makes.
    assert_eq!(stream.upstreams.len(), 3);
    assert_eq!(second.by_name.find("b.example.com"), Some(&2));
}
