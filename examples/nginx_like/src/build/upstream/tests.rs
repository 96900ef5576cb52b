use std::path::Path;
use std::time::Duration;

use lb_core::{Health, PickRequest, SplitMix64, Timestamp, Tried, balancer};
use lb_proxy::balancing::HashKey;

use super::*;
use crate::config::main::Config;
use crate::config::stream::Stream;

/// Recorded with servers at 127.10.0.1, 127.10.0.2, … port 4461; the names of servers are part of the ring.
const RECORDED: &str = include_str!("../../../../../lb-core/tests/golden/nginx_ketama.txt");

#[test]
fn hash_consistent_sends_clients_where_nginx_sent_them() {
    let mut compared = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let (list, answers) = line.split_once(" | answers: ").unwrap();
        let list = list.strip_prefix("servers: ").unwrap();
        let servers: Option<String> = list.split(' ').map(server).collect();
        let Some(servers) = servers else { continue };
        let text = format!("stream {{ upstream u {{ hash $remote_addr consistent; {servers} }} }}");
        let config = Config::parse(Path::new("conf"), text.as_bytes(), Path::new("")).unwrap();
        let stream = config.stream.as_ref().unwrap();
        assert_eq!(ours(stream, answers.len()), answers, "{list}");
        compared += 1;
    }
    assert!(compared >= 7);
}

/// The upstream `u` of a stream block.
fn read(text: &str) -> Upstream {
    let text = format!("stream {{ {text} }}");
    let config = Config::parse(Path::new("conf"), text.as_bytes(), Path::new("")).unwrap();
    config.stream.unwrap().upstreams.remove(0)
}

#[test]
fn a_server_that_is_listed_twice_has_the_sum_of_the_weights() {
    let config = read(
        "upstream u {
            server a:1 weight=2; server b:1; server a:1 weight=3; server a:2; server a:1 backup;
            server a:1 down; server a:1 resolve; server a:1 resolve; server a service=s resolve;
            server a service=s resolve; server b:1 weight=65535;
        }",
    );
    let joined = joined(&config.servers);
    let weights: Vec<u16> = joined.iter().map(|server| server.weight.get()).collect();
    assert_eq!(weights, [5, 65535, 1, 1, 1, 2, 1, 1]);
}

#[test]
fn a_server_that_is_listed_twice_has_the_sum_of_the_limits() {
    let config = read(
        "upstream u {
            server a:1 max_conns=2; server a:1 max_conns=3; server b:1 max_conns=1; server b:1;
            server c:1; server c:1 max_conns=1; server d:1 max_conns=4;
        }",
    );
    let joined = joined(&config.servers);
    let limits = joined
        .iter()
        .map(|server| server.max_conns.map(NonZeroU32::get));
    assert_eq!(limits.collect::<Vec<_>>(), [Some(5), None, None, Some(4)]);
}

#[test]
fn consecutive_addresses_are_one_source() {
    let sources = |text: &str| {
        let made = upstream(&read(text), &Arc::default(), &SystemResolver::default()).unwrap();
        let sources = made.discovery().sources;
        let labels = sources.iter().map(|status| status.label.to_string());
        labels.collect::<Vec<_>>()
    };
    let text = "upstream u {
        resolver 127.0.0.1;
        server 10.0.0.1:1; server 10.0.0.2:1 backup; server a.test:1 resolve; server b.test:1 resolve;
        server 10.0.0.3:1;
    }";
    let expected = ["static", "dns:a.test", "dns:b.test", "static"];
    assert_eq!(sources(text), expected);
    assert_eq!(sources("upstream u { server 10.0.0.1:1; }"), ["static"]);
}

/// How many of 1000 picks the second of two servers gets this long after it has recovered.
fn picks_of_a_server_that_is_back(upstream: &Upstream, after: Duration) -> usize {
    let (mut updater, balancer) = balancer(policy(&upstream.method));
    updater.set_config(balancing(upstream));
    let addrs = [1, 2].map(|last| SocketAddr::new([10, 0, 0, last].into(), 1));
    let servers = upstream.servers.iter().zip(addrs);
    let backends = servers.map(|(server, addr)| configured(Backend::new(addr), server));
    let start = Timestamp::from_nanos(1_000_000_000);
    updater.apply(&backends.collect(), start);
    balancer.set_health(addrs[1], Health::Unhealthy, start);
    balancer.set_health(addrs[1], Health::Healthy, start);
    let (tried, mut rng) = (Tried::new(), SplitMix64::new(1));
    let request = PickRequest::new(&tried);
    let mut pick = |_: &i32| {
        let pick = balancer
            .pick(&request, start.saturating_add(after), &mut rng)
            .unwrap();
        pick.addr() == addrs[1]
    };
    (0..1000).filter(|i| pick(i)).count()
}

#[test]
fn the_share_of_a_server_that_is_back_grows_from_nothing_in_the_time_of_slow_start() {
    let of = |method: &str, slow_start: &str, seconds| {
        let text = format!(
            "upstream u {{ {method} server 10.0.0.1:1 {slow_start}; server 10.0.0.2:1 {slow_start}; }}"
        );
        picks_of_a_server_that_is_back(&read(&text), Duration::from_secs(seconds))
    };
    for method in ["", "least_conn;", "least_time connect;"] {
        assert_eq!(of(method, "slow_start=100s", 0), 0, "{method}");
        assert_ne!(of(method, "", 0), 0, "{method}");
        assert_eq!(
            of(method, "slow_start=100s", 100),
            of(method, "", 100),
            "{method}"
        );
    }
    // It takes every second of its turns.
    let half = of("", "slow_start=100s", 50);
    assert!((230..=440).contains(&half), "{half}");
    assert_eq!(of("", "slow_start=0", 0), 500);
}

/// A step for each pair of servers would take minutes.
#[test]
fn an_upstream_of_very_many_servers_is_read_and_built() {
    let count = 50_000;
    let addr = |n: u32| std::net::Ipv4Addr::from(0x0a00_0001 + n);
    let servers: String = (0..count)
        .map(|n| format!("server {}:1;\n", addr(n)))
        .collect();
    let config = read(&format!("upstream u {{ {servers} server 10.0.0.1:1; }}"));
    assert_eq!(config.servers.len(), count as usize + 1);
    let joined = joined(&config.servers);
    assert_eq!((joined.len(), joined[0].weight.get()), (count as usize, 2));
    let made = upstream(&config, &Arc::default(), &SystemResolver::default()).unwrap();
    assert_eq!(made.discovery().sources.len(), 1);
}

/// The directive for a server that stands for itself, such as `a=5` or `a=5,down`.
fn server(word: &str) -> Option<String> {
    let (name, rest) = word.split_once('=')?;
    let [letter @ b'a'..=b'h'] = name.as_bytes() else {
        return None;
    };
    let (weight, flag) = rest.split_once(',').unwrap_or((rest, ""));
    let known = ["", "down"].contains(&flag);
    let ip = format!("127.10.0.{}", letter - b'a' + 1);
    known.then(|| format!("server {ip}:4461 weight={weight} {flag};"))
}

/// The letters of the servers that our upstream picks for the recorded clients.
fn ours(stream: &Stream, clients: usize) -> String {
    let upstream = &stream.upstreams[0];
    let Method::Hash { key, .. } = &upstream.method else {
        panic!("{:?}", upstream.method);
    };
    let parts = hash_key::parts(key, &stream.variables);
    let backends = upstream.servers.iter().map(|server| match server.host {
        Host::Ip(ip) => configured(Backend::new(SocketAddr::new(ip, server.port)), server),
        Host::Name(_) | Host::Service(_) | Host::Unix(_) => panic!("an address"),
    });
    let (mut updater, balancer) = balancer(policy(&upstream.method));
    let now = Timestamp::default();
    updater.apply(&backends.collect(), now);
    let listen = "127.0.0.1:446".parse().unwrap();
    let pick = |i: usize| {
        let client = format!("127.77.{}.{}:5000", i / 250, 1 + i % 250);
        let key = HashKey::from_parts(&parts, client.parse().unwrap(), listen);
        let tried = Tried::new();
        let request = PickRequest::new(&tried).key(key.as_bytes());
        let pick = balancer.pick(&request, now, &mut SplitMix64::new(1));
        match pick.unwrap().backend().addr.ip() {
            std::net::IpAddr::V4(ip) => char::from(b'a' + ip.octets()[3] - 1),
            ip => panic!("{ip}"),
        }
    };
    (0..clients).map(pick).collect()
}
