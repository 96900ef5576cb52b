//! A DNS server for tests: real sockets on a free port of 127.0.0.1, answers that the test sets.
//!
//! It serves UDP and TCP on one port, truncates what does not fit into 512 bytes of UDP, follows its own CNAMEs as a
//! recursive server does, and puts an SOA record into negative answers. Other crates include this file with
//! `#[path]`; it needs `async-trait`, `hickory-server` and `tokio` (`net`, `rt`, `time`) besides std.

#![allow(dead_code)] // every test uses its own part

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata};
use hickory_server::proto::rr::rdata::{CNAME, NS, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

pub(crate) use hickory_server::proto::op::ResponseCode;
pub(crate) use hickory_server::proto::rr::RecordType;

/// The server; dropping it closes its sockets.
pub(crate) struct DnsServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _server: Server<Handler>,
}

impl DnsServer {
    /// Starts a server that knows no name. To be called within a tokio runtime.
    pub(crate) fn start() -> Self {
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

    /// Where it listens, over UDP and TCP.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Gives `name` these addresses, in this order.
    pub(crate) fn set(&self, name: &str, ttl: u32, addrs: &[IpAddr]) {
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
    pub(crate) fn alias(&self, name: &str, ttl: u32, target: &str) {
        self.entry(name, |entry| {
            *entry = Entry {
                alias: Some(absolute(target)),
                ttl,
                ..Entry::default()
            };
        });
    }

    /// Gives the service `name` these SRV records: priority, weight, port and target.
    pub(crate) fn set_service(&self, name: &str, ttl: u32, records: &[Offer<'_>]) {
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

    /// Adds addresses of other names to every answer about `name`, in all sections.
    pub(crate) fn lie(&self, name: &str, strangers: &[(&str, IpAddr)]) {
        let strangers = strangers
            .iter()
            .map(|(name, addr)| Record::from_rdata(absolute(name), 86_400, RData::from(*addr)));
        self.entry(name, |entry| entry.strangers = strangers.collect());
    }

    /// Whether to say of every answer over TCP, too, that it is truncated.
    pub(crate) fn set_truncated(&self, truncated: bool) {
        self.zone().truncated = truncated;
    }

    /// Answers for an alias with the alias only, so that the client has to ask for its target.
    pub(crate) fn bare_aliases(&self) {
        self.zone().bare_aliases = true;
    }

    /// Forgets `name`: NXDOMAIN from now on.
    pub(crate) fn remove(&self, name: &str) {
        self.zone().entries.remove(&key(name));
    }

    /// Answers questions for `name` with `code`, whatever it has.
    pub(crate) fn fail(&self, name: &str, code: ResponseCode) {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
            self.fail_kind(name, kind, code);
        }
    }

    /// Answers one type of question for `name` with `code`, until the next [`set`](Self::set).
    pub(crate) fn fail_kind(&self, name: &str, kind: RecordType, code: ResponseCode) {
        self.entry(name, |entry| {
            entry.failures.insert(kind, code);
        });
    }

    /// Refers questions for `name` to another name server instead of answering them.
    pub(crate) fn refer(&self, name: &str) {
        self.entry(name, |entry| entry.referral = true);
    }

    /// Sets how long negative answers hold, in seconds. 1 at first.
    pub(crate) fn set_negative_ttl(&self, ttl: u32) {
        self.zone().negative_ttl = ttl;
    }

    /// Whether to take questions without ever answering them.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.zone().silent = silent;
    }

    /// Whether to take questions of one type, for any name, without ever answering them.
    pub(crate) fn set_silent_kind(&self, kind: RecordType, silent: bool) {
        let mut zone = self.zone();
        if silent {
            zone.silent_kinds.insert(kind);
        } else {
            zone.silent_kinds.remove(&kind);
        }
    }

    /// Answers questions of one type, for any name, only after `delay`.
    pub(crate) fn set_late_kind(&self, kind: RecordType, delay: Duration) {
        self.zone().late_kinds.insert(kind, delay);
    }

    /// How many questions for `name` have come, of all types and over both protocols.
    pub(crate) fn questions(&self, name: &str) -> usize {
        let zone = self.zone();
        let seen = zone.seen.iter().filter(|(seen, _, _)| *seen == key(name));
        seen.count()
    }

    /// How many of the [`questions`](Self::questions) came over TCP.
    pub(crate) fn tcp_questions(&self, name: &str) -> usize {
        let zone = self.zone();
        let tcp = |seen: &&Seen| seen.0 == key(name) && seen.2 == Protocol::Tcp;
        zone.seen.iter().filter(tcp).count()
    }

    /// How many of the [`questions`](Self::questions) were of this type.
    pub(crate) fn questions_of(&self, name: &str, kind: RecordType) -> usize {
        let zone = self.zone();
        let of_kind = |seen: &&Seen| seen.0 == key(name) && seen.1 == kind;
        zone.seen.iter().filter(of_kind).count()
    }

    fn entry(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        change(self.zone().entries.entry(key(name)).or_default());
    }

    fn zone(&self) -> std::sync::MutexGuard<'_, Zone> {
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

/// An SRV record: priority, weight, port and target.
pub(crate) type Offer<'a> = (u16, u16, u16, &'a str);

/// A name, the type asked for and the protocol.
type Seen = (String, RecordType, Protocol);

struct Zone {
    entries: HashMap<String, Entry>,
    seen: Vec<Seen>,
    negative_ttl: u32,
    bare_aliases: bool,
    truncated: bool,
    silent: bool,
    silent_kinds: HashSet<RecordType>,
    late_kinds: HashMap<RecordType, Duration>,
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            seen: Vec::new(),
            negative_ttl: 1,
            bare_aliases: false,
            truncated: false,
            silent: false,
            silent_kinds: HashSet::new(),
            late_kinds: HashMap::new(),
        }
    }
}

#[derive(Clone, Default)]
struct Entry {
    addrs: Vec<IpAddr>,
    services: Vec<SRV>,
    strangers: Vec<Record>,
    alias: Option<Name>,
    ttl: u32,
    failures: HashMap<RecordType, ResponseCode>,
    referral: bool,
}

/// One answer, before it is put into a message.
#[derive(Default)]
struct Reply {
    code: ResponseCode,
    answers: Vec<Record>,
    additional: Vec<Record>,
    authorities: Vec<Record>,
    soa: Vec<Record>,
}

impl Zone {
    fn reply(&self, name: &Name, kind: RecordType) -> Reply {
        let mut reply = Reply::default();
        let mut name = name.clone();
        // As many aliases as any resolver follows; a loop of them ends here.
        for _ in 0..16 {
            let Some(entry) = self.entries.get(&key(&name.to_string())) else {
                reply.code = ResponseCode::NXDomain;
                break;
            };
            if let Some(code) = entry.failures.get(&kind) {
                return Reply {
                    code: *code,
                    ..Reply::default()
                };
            }
            if entry.referral {
                let server = RData::NS(NS(absolute("ns.elsewhere.test")));
                let record = Record::from_rdata(name, 60, server);
                reply.authorities.push(record);
                return reply;
            }
            reply.additional.extend(entry.strangers.iter().cloned());
            if let Some(target) = &entry.alias {
                let data = RData::CNAME(CNAME(target.clone()));
                let record = Record::from_rdata(name, entry.ttl, data);
                reply.answers.push(record);
                if self.bare_aliases || kind == RecordType::CNAME {
                    return reply;
                }
                name = target.clone();
                continue;
            }
            let of_kind = |addr: &&IpAddr| {
                kind == if addr.is_ipv4() {
                    RecordType::A
                } else {
                    RecordType::AAAA
                }
            };
            let addrs = entry.addrs.iter().filter(of_kind);
            let records =
                addrs.map(|addr| Record::from_rdata(name.clone(), entry.ttl, RData::from(*addr)));
            reply.answers.extend(records);
            if kind == RecordType::SRV {
                let records = entry.services.iter().cloned().map(RData::SRV);
                let records = records.map(|srv| Record::from_rdata(name.clone(), entry.ttl, srv));
                reply.answers.extend(records);
            }
            if !reply.answers.iter().any(|r| r.record_type() == kind) {
                break;
            }
            reply.answers.extend(entry.strangers.iter().cloned());
            return reply;
        }
        reply.soa.push(self.soa());
        reply
    }

    fn soa(&self) -> Record {
        let ns = absolute("ns.test");
        // The record's own TTL is larger, so that a client which takes the wrong one is found out.
        let data = SOA::new(ns.clone(), ns, 1, 3600, 600, 86_400, self.negative_ttl);
        Record::from_rdata(absolute("test"), 3600, RData::SOA(data))
    }
}

struct Handler {
    zone: Arc<Mutex<Zone>>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let Ok(info) = request.request_info() else {
            return unanswered(metadata);
        };
        let (reply, truncated, delay) = {
            let name = Name::from(info.query.name());
            let kind = info.query.query_type();
            let mut zone = self.zone.lock().expect("no test panics with the zone");
            let seen = (key(&name.to_string()), kind, request.protocol());
            zone.seen.push(seen);
            if zone.silent || zone.silent_kinds.contains(&kind) {
                return unanswered(metadata);
            }
            let delay = zone.late_kinds.get(&kind).copied();
            (zone.reply(&name, kind), zone.truncated, delay)
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        metadata.response_code = reply.code;
        metadata.truncation = truncated;
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &reply.answers,
            &reply.authorities,
            &reply.soa,
            &reply.additional,
        );
        match responses.send_response(response).await {
            Ok(info) => info,
            Err(_) => unanswered(metadata), // the client has gone
        }
    }
}

fn unanswered(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header {
        metadata,
        counts: HeaderCounts::default(),
    })
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("tests use valid names");
    name.set_fqdn(true);
    name
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
