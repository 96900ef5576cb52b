//! The names that the server knows, and its answers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{CNAME, NS, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

/// An SRV record: priority, weight, port and target.
pub type Offer<'a> = (u16, u16, u16, &'a str);

/// A question: the name, the type and the protocol.
pub(super) type Seen = (String, RecordType, Protocol);

pub(super) struct Zone {
    pub(super) entries: HashMap<String, Entry>,
    pub(super) seen: Vec<Seen>,
    pub(super) negative_ttl: u32,
    pub(super) bare_aliases: bool,
    pub(super) truncated: bool,
    pub(super) silent: bool,
    pub(super) silent_kinds: HashSet<RecordType>,
    pub(super) late_kinds: HashMap<RecordType, Duration>,
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
pub(super) struct Entry {
    pub(super) addrs: Vec<IpAddr>,
    pub(super) services: Vec<SRV>,
    pub(super) strangers: Vec<Record>,
    pub(super) alias: Option<Name>,
    pub(super) ttl: u32,
    pub(super) failures: HashMap<RecordType, ResponseCode>,
    pub(super) referral: bool,
}

/// One answer, before it is put into a message.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) additional: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) soa: Vec<Record>,
}

impl Zone {
    /// The answer to a question for `name`.
    pub(super) fn reply(&self, name: &Name, kind: RecordType) -> Reply {
        let mut reply = Reply::default();
        let mut name = name.clone();
        // As many aliases as any resolver follows: a loop of aliases ends here.
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
        // The record's own TTL is larger, so that a test detects a client that uses it.
        let data = SOA::new(ns.clone(), ns, 1, 3600, 600, 86_400, self.negative_ttl);
        Record::from_rdata(absolute("test"), 3600, RData::SOA(data))
    }
}

/// A name that ends at the root.
pub(super) fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("tests use valid names");
    name.set_fqdn(true);
    name
}

/// The form of a name that is compared.
pub(super) fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
