//! `upstream` blocks: servers, methods, services, resolvers, Kubernetes.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use lb_proxy::events::Connection;

use super::{parse, secs, stream};
use crate::config::resolver::AddressFamilies;
use crate::config::upstream::kubernetes::{KubernetesBackends, KubernetesPort};
use crate::config::upstream::method::{ExpectedTime, Method};
use crate::syntax::address::Host;
use crate::variables::context::Context;

#[test]
fn parameters_of_servers() {
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
    assert!(!server.resolve);

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
    assert!(server.resolve);

    let server = &servers[2];
    assert_eq!(server.host, Host::Ip("2001:db8::3".parse().unwrap()));
    assert_eq!(
        (server.port, server.max_conns, server.backup),
        (448, None, true)
    );
    assert_eq!(server.span.to_string(), "test.conf:4");
}

#[test]
fn methods_are_read_and_the_last_one_counts() {
    use ExpectedTime::{Connect, FirstByte, LastByte};
    let least_time = |time, in_flight| Method::LeastTime { time, in_flight };
    for (text, method) in [
        ("", Method::RoundRobin),
        ("least_conn;", Method::LeastConn),
        ("random;", Method::Random),
        ("random two;", Method::RandomTwo),
        ("least_time connect;", least_time(Connect, false)),
        ("least_time first_byte;", least_time(FirstByte, false)),
        ("least_time last_byte inflight;", least_time(LastByte, true)),
        ("random two least_conn;", Method::RandomTwo),
        ("random; least_conn;", Method::LeastConn),
    ] {
        let stream = stream(&format!("upstream u {{ {text} server a:1; }}"));
        assert_eq!(stream.upstreams[0].method, method, "{text}");
    }
}

#[test]
fn hash_keys_are_read() {
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
        let connection = Connection::new(client, server);
        let key = key.get(&Context::new(&stream.variables, &connection));
        assert_eq!(*key, *expected.as_bytes(), "{text}");
        assert_eq!(*c, consistent, "{text}");
    }
}

#[test]
fn services_are_names_of_srv_records() {
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
fn resolvers_of_the_nearest_level_count() {
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
fn kubernetes_services_nodes_and_pods() {
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
fn hash_and_random_take_the_backups_before_them() {
    for method in ["hash a", "hash a consistent", "random", "random two"] {
        let text = format!("upstream u {{ server a:1; server b:1 backup; {method}; }}");
        let stream = stream(&text);
        let backups = stream.upstreams[0].servers.iter().map(|one| one.backup);
        assert_eq!(backups.collect::<Vec<_>>(), [false, true], "{method}");
    }
}
