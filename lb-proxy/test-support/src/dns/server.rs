//! The server and its settings.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::SRV;
use hickory_server::proto::rr::{RData, Record, RecordType};

use super::handler::Handler;
use super::zone::{Entry, Offer, Seen, Zone, absolute, key};

/// A DNS server on a free port of 127.0.0.1. `Drop` closes its sockets.
pub struct DnsServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _server: Server<Handler>,
}

impl DnsServer {
    /// Starts a server that knows no name. Needs a tokio runtime.
    pub fn start() -> Self {
        let (udp, tcp) = bind();
        let addr = udp.local_addr().expect("a bound socket has an address");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let mut server = Server::new(Handler {
            zone: Arc::clone(&zone),
        });
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(30), 32);
        Self {
            addr,
            zone,
            _server: server,
        }
    }

    /// The address of the server, for UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets the addresses of `name`, in this order. Clears its failures.
    pub fn set(&self, name: &str, ttl: u32, addrs: &[IpAddr]) {
        self.entry(name, |entry| {
            *entry = Entry {
                addrs: addrs.to_vec(),
                ttl,
                ..Entry::default()
            };
        });
    }

    /// Makes `name` an alias of `target`. The answer includes the target's addresses, unless
    /// [`bare_aliases`](Self::bare_aliases) is set.
    pub fn alias(&self, name: &str, ttl: u32, target: &str) {
        self.entry(name, |entry| {
            *entry = Entry {
                alias: Some(absolute(target)),
                ttl,
                ..Entry::default()
            };
        });
    }

    /// Sets the SRV records of the service `name`.
    pub fn set_service(&self, name: &str, ttl: u32, records: &[Offer<'_>]) {
        let records = records.iter().map(|(priority, weight, port, target)| {
            SRV::new(*priority, *weight, *port, absolute(target))
        });
        self.entry(name, |entry| {
            *entry = Entry {
                services: records.collect(),
                ttl,
                ..Entry::default()
            };
        });
    }

    /// Adds addresses of other names to each answer about `name`, to the answer section and the additional one.
    pub fn lie(&self, name: &str, strangers: &[(&str, IpAddr)]) {
        let strangers = strangers
            .iter()
            .map(|(name, addr)| Record::from_rdata(absolute(name), 86_400, RData::from(*addr)));
        self.entry(name, |entry| entry.strangers = strangers.collect());
    }

    /// Sets whether every answer is marked as truncated, over TCP as well.
    pub fn set_truncated(&self, truncated: bool) {
        self.zone().truncated = truncated;
    }

    /// Answers a question for an alias with the alias alone: the client must ask for its target.
    pub fn bare_aliases(&self) {
        self.zone().bare_aliases = true;
    }

    /// Removes `name`: the answer is NXDOMAIN from now on.
    pub fn remove(&self, name: &str) {
        self.zone().entries.remove(&key(name));
    }

    /// Answers questions for `name` with `code`, whatever its records are.
    pub fn fail(&self, name: &str, code: ResponseCode) {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
            self.fail_kind(name, kind, code);
        }
    }

    /// Answers one type of question for `name` with `code`, until the next [`set`](Self::set).
    pub fn fail_kind(&self, name: &str, kind: RecordType, code: ResponseCode) {
        self.entry(name, |entry| {
            entry.failures.insert(kind, code);
        });
    }

    /// Answers questions for `name` with a referral to another name server.
    pub fn refer(&self, name: &str) {
        self.entry(name, |entry| entry.referral = true);
    }

    /// Sets the TTL of negative answers, in seconds. Default: 1.
    pub fn set_negative_ttl(&self, ttl: u32) {
        self.zone().negative_ttl = ttl;
    }

    /// Sets whether the server reads questions without answering them.
    pub fn set_silent(&self, silent: bool) {
        self.zone().silent = silent;
    }

    /// Sets whether the server reads questions of one type, for any name, without answering them.
    pub fn set_silent_kind(&self, kind: RecordType, silent: bool) {
        let mut zone = self.zone();
        if silent {
            zone.silent_kinds.insert(kind);
        } else {
            zone.silent_kinds.remove(&kind);
        }
    }

    /// Delays the answers to questions of one type, for any name.
    pub fn set_late_kind(&self, kind: RecordType, delay: Duration) {
        self.zone().late_kinds.insert(kind, delay);
    }

    /// The number of questions for `name`, of all types and over both protocols.
    pub fn questions(&self, name: &str) -> usize {
        let zone = self.zone();
        let seen = zone.seen.iter().filter(|(seen, _, _)| *seen == key(name));
        seen.count()
    }

    /// The number of [`questions`](Self::questions) over TCP.
    pub fn tcp_questions(&self, name: &str) -> usize {
        let zone = self.zone();
        let tcp = |seen: &&Seen| seen.0 == key(name) && seen.2 == Protocol::Tcp;
        zone.seen.iter().filter(tcp).count()
    }

    /// The number of [`questions`](Self::questions) of this type.
    pub fn questions_of(&self, name: &str, kind: RecordType) -> usize {
        let zone = self.zone();
        let of_kind = |seen: &&Seen| seen.0 == key(name) && seen.1 == kind;
        zone.seen.iter().filter(of_kind).count()
    }

    fn entry(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        change(self.zone().entries.entry(key(name)).or_default());
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().expect("no test panics with the zone")
    }
}

/// Sockets of both protocols on one free port.
fn bind() -> (tokio::net::UdpSocket, tokio::net::TcpListener) {
    for _ in 0..100 {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free UDP port");
        let addr = udp.local_addr().expect("a bound socket has an address");
        let Ok(tcp) = std::net::TcpListener::bind(addr) else {
            continue; // another process has the port for TCP
        };
        udp.set_nonblocking(true).expect("a socket can be switched");
        tcp.set_nonblocking(true).expect("a socket can be switched");
        return (
            udp.try_into().expect("called within a runtime"),
            tcp.try_into().expect("called within a runtime"),
        );
    }
    panic!("no port is free for UDP and TCP");
}
