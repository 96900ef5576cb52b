//! The backends of keys compared with recordings of a real nginx, made by `record_nginx_hash.py`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{Ketama, NginxHash};
use lb_core::{
    AdminState, Backend, Balancer, FailLimit, PickRequest, Policy, Snapshot, SplitMix64, Timestamp,
    Tried, Weight, balancer,
};

const NOW: Timestamp = Timestamp::from_nanos(1);
const NAMES: [(&str, &str); 5] = [
    ("alpha.test", "a"),
    ("Beta.Test", "b"),
    ("gamma", "c"),
    ("pair.test", "de"),
    ("trio.test", "fgh"),
];

fn addr(letter: char) -> SocketAddr {
    let ip = match letter {
        'x' => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::new(127, 10, 0, letter as u8 - b'a' + 1)),
    };
    SocketAddr::new(ip, 4461)
}

fn letter(addr: SocketAddr) -> char {
    let mut letters = ('a'..='h').chain(['x']);
    letters.find(|&letter| self::addr(letter) == addr).unwrap()
}

/// One line of a recording.
struct Recording<'a> {
    text: &'a str,
    backends: Vec<Backend>,
    dead: Vec<SocketAddr>,
    answers: &'a str,
}

impl<'a> Recording<'a> {
    fn all(file: &'a str) -> Vec<Self> {
        let lines = file.lines().filter(|line| !line.starts_with('#'));
        lines.map(Self::new).collect()
    }

    fn new(line: &'a str) -> Self {
        let (servers, answers) = line.split_once(" | answers: ").unwrap();
        let text = servers.strip_prefix("servers: ").unwrap();
        let limit = FailLimit::new(NonZeroU32::MIN, Duration::from_secs(3600));
        let (mut backends, mut dead) = (Vec::new(), Vec::new());
        for server in text.split(' ') {
            let (host, rest) = server.split_once('=').unwrap();
            let mut words = rest.split(',');
            let weight = Weight::new(words.next().unwrap().parse().unwrap());
            let name = NAMES.into_iter().find(|(name, _)| *name == host);
            let flag = words.next();
            for letter in name.map_or(host, |(_, letters)| letters).chars() {
                let mut backend = Backend::new(addr(letter))
                    .weight(weight)
                    .fail_limit(Some(limit));
                if name.is_some() {
                    backend = backend.name(host);
                }
                match flag {
                    None => {}
                    Some("dead") => dead.push(addr(letter)),
                    Some("down") => backend = backend.admin(AdminState::Drain),
                    Some(flag) => panic!("unknown flag {flag}"),
                }
                backends.push(backend);
            }
        }
        Self {
            text,
            backends,
            dead,
            answers,
        }
    }

    fn has_down(&self) -> bool {
        self.backends.iter().any(|b| b.admin == AdminState::Drain)
    }

    /// The backends of this crate, for connections that have `tried` the given backends before.
    fn ours(&self, policy: Arc<dyn Policy>, backends: Vec<Backend>, tried: &Tried) -> String {
        let (mut updater, balancer) = balancer(policy);
        updater.apply(&Snapshot::from_backends(backends), NOW);
        (0..self.answers.len())
            .map(|key| {
                let key = format!("127.77.{}.{}", key / 250, 1 + key % 250);
                letter(self.connect(&balancer, key.as_bytes(), tried.clone()))
            })
            .collect()
    }

    /// The server that answers a connection, which tries the next one if a dead server refuses it.
    fn connect(&self, balancer: &Balancer, key: &[u8], mut tried: Tried) -> SocketAddr {
        loop {
            let request = PickRequest::new(&tried).key(key);
            let pick = balancer
                .pick(&request, NOW, &mut SplitMix64::new(1))
                .unwrap();
            let addr = pick.backend().addr;
            if !self.dead.contains(&addr) {
                return addr;
            }
            let _ = pick.failed(NOW);
            tried.insert(addr);
        }
    }
}

#[test]
fn nginxs_modulo_hash_is_ours() {
    let recordings = Recording::all(include_str!("nginx_hash.txt"));
    assert!(recordings.len() >= 18);
    for recording in recordings.iter().filter(|r| !r.has_down()) {
        let ours = recording.ours(
            Arc::new(NginxHash::new()),
            recording.backends.clone(),
            &Tried::new(),
        );
        assert_eq!(ours, recording.answers, "{}", recording.text);
    }
}

/// nginx hashes the keys of a server that is down again, as those of any other that is not eligible. In this crate a
/// drained backend is not in the tier, which is the one difference.
#[test]
fn nginxs_modulo_hash_with_a_server_down_is_ours_with_one_not_eligible() {
    let recordings = Recording::all(include_str!("nginx_hash.txt"));
    let mut compared = 0;
    for recording in recordings.iter().filter(|r| r.has_down()) {
        let mut backends = recording.backends.clone();
        let mut tried = Tried::new();
        for backend in backends.iter_mut().filter(|b| b.admin == AdminState::Drain) {
            backend.admin = AdminState::Ready;
            tried.insert(backend.addr);
        }
        let ours = recording.ours(Arc::new(NginxHash::new()), backends, &tried);
        assert_eq!(ours, recording.answers, "{}", recording.text);
        compared += 1;
    }
    assert!(compared >= 2);
}

#[test]
fn nginxs_ketama_is_ours() {
    let recordings = Recording::all(include_str!("nginx_ketama.txt"));
    assert!(recordings.len() >= 18);
    for recording in &recordings {
        let ours = recording.ours(
            Arc::new(Ketama::new()),
            recording.backends.clone(),
            &Tried::new(),
        );
        assert_eq!(ours, recording.answers, "{}", recording.text);
    }
}
