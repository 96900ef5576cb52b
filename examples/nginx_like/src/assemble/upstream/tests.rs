use std::path::Path;

use lb_core::{PickRequest, SplitMix64, Timestamp, Tried, balancer};

use super::*;
use crate::config::Config;

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
        let upstream = &config.stream.as_ref().unwrap().upstreams[0];
        assert_eq!(ours(upstream, answers.len()), answers, "{list}");
        compared += 1;
    }
    assert!(compared >= 7);
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
fn ours(upstream: &Upstream, clients: usize) -> String {
    let Method::Hash { key, .. } = &upstream.method else {
        panic!("{:?}", upstream.method);
    };
    let backends = upstream.servers.iter().map(|server| match server.host {
        Host::Ip(ip) => configured(Backend::new(SocketAddr::new(ip, server.port)), server),
        Host::Name(_) | Host::Service(_) => panic!("an address"),
    });
    let (mut updater, balancer) = balancer(policy(&upstream.method).build());
    let now = Timestamp::default();
    updater.apply(&backends.collect(), now);
    let listen = "127.0.0.1:446".parse().unwrap();
    let pick = |i: usize| {
        let client = format!("127.77.{}.{}:5000", i / 250, 1 + i % 250);
        let key = key.of(client.parse().unwrap(), listen);
        let tried = Tried::new();
        let request = PickRequest::new(&tried).with_key(&key);
        let pick = balancer.pick(&request, now, &mut SplitMix64::new(1));
        match pick.unwrap().backend().addr.ip() {
            std::net::IpAddr::V4(ip) => char::from(b'a' + ip.octets()[3] - 1),
            ip => panic!("{ip}"),
        }
    };
    (0..clients).map(pick).collect()
}
