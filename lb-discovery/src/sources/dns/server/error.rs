//! Reasons of a name server's missing answer.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;

use crate::error::DiscoveryError;
use crate::sources::dns::server::aliases::{AliasError, MAX_ALIASES};

/// Why a question has no answer.
pub(crate) enum ServerError {
    Aliases(AliasError),
    /// An error of the client, and the minimum TTL of the aliases that led to the name.
    Net(NetError, u32),
    /// An answer without records of the name.
    Nothing(ResponseCode),
}

impl ServerError {
    /// Converts to the error of a question to `addr`, with the limit `timeout`. `shown`: the name in errors.
    pub(crate) fn explain(
        self,
        addr: SocketAddr,
        timeout: Duration,
        shown: &str,
    ) -> DiscoveryError {
        let unavailable = |problem: &str| unavailable(addr, shown, problem, None);
        match self {
            Self::Net(NetError::Dns(DnsError::NoRecordsFound(none)), most) => {
                explain_none(&none, most, addr, shown)
            }
            Self::Net(NetError::Timeout, _) => DiscoveryError::Timeout {
                what: what(shown),
                problem: format!("no answer from {addr} within {timeout:?}").into(),
            },
            Self::Net(error, _) => explain_net(error, addr, shown),
            Self::Nothing(ResponseCode::NoError) => unavailable("answered about other names only"),
            Self::Nothing(code) => unavailable(&format!("answered {code} with records")),
            Self::Aliases(AliasError::Loop) => unavailable("gave aliases that lead in a circle"),
            Self::Aliases(AliasError::TooLong) => {
                unavailable(&format!("gave more than {MAX_ALIASES} aliases in a row"))
            }
        }
    }
}

/// Explains an error of the client other than a time-out.
fn explain_net(error: NetError, addr: SocketAddr, shown: &str) -> DiscoveryError {
    let (problem, source) = match error {
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            return DiscoveryError::Denied {
                what: what(shown),
                problem: format!("{addr} refused to answer (REFUSED)").into(),
            };
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            ("failed (SERVFAIL)", None)
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::FormErr)) => {
            ("did not understand the question (FORMERR)", None)
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::NotImp)) => {
            ("does not answer such questions (NOTIMP)", None)
        }
        NetError::Truncated => ("truncated its answer over TCP, too", None),
        NetError::Busy => ("has too many questions open", None),
        // The client's error after one of the socket.
        NetError::NoConnections => ("cannot be reached", None),
        NetError::Io(error) => {
            let error = io::Error::new(error.kind(), error.to_string());
            ("cannot be reached", Some(error.into()))
        }
        error => ("gave no usable answer", Some(error.into())),
    };
    unavailable(addr, shown, problem, source)
}

/// Explains an answer without records. `most`: the TTL of the aliases in seconds, after which they may lead elsewhere.
fn explain_none(none: &NoRecords, most: u32, addr: SocketAddr, shown: &str) -> DiscoveryError {
    let valid_for = none
        .negative_ttl
        .map(|ttl| Duration::from_secs(ttl.min(most).into()));
    match none.response_code {
        ResponseCode::NXDomain => no_such_name(shown, valid_for),
        // NS records instead of an SOA record are a referral, not an empty answer (RFC 2308 section 2.2): another server
        // must be asked.
        ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
            unavailable(addr, shown, "only refers to other name servers", None)
        }
        ResponseCode::NoError => DiscoveryError::NoData {
            what: what(shown),
            valid_for,
        },
        code => unavailable(addr, shown, &format!("answered {code}"), None),
    }
}

fn unavailable(
    addr: SocketAddr,
    shown: &str,
    problem: &str,
    source: Option<Box<dyn Error + Send + Sync>>,
) -> DiscoveryError {
    DiscoveryError::Unavailable {
        what: what(shown),
        problem: format!("{addr} {problem}").into(),
        source,
    }
}

pub(crate) fn no_such_name(shown: &str, valid_for: Option<Duration>) -> DiscoveryError {
    DiscoveryError::NotFound {
        what: what(shown),
        problem: "no such name (NXDOMAIN)".into(),
        valid_for,
    }
}

pub(crate) fn what(shown: &str) -> Box<str> {
    format!("looking up {shown}").into()
}
