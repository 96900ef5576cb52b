//! The targets of a `proxy_pass` with variables.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lb_core::policy::WeightedRoundRobin;
use lb_core::{Backend, Snapshot};
use lb_proxy::Upstream;
use lb_proxy::routing::RouteAction;

use super::host_cache::{HostCache, LookupFailure};
use crate::config::stream::Stream;
use crate::syntax::address::{Address, AddressError, Host};

/// The upstreams of a configuration by their names in small letters: those of blocks, and those that a `proxy_pass` creates.
#[derive(Debug)]
pub(super) struct Targets {
    by_name: HashMap<String, Upstream>,
    /// The bytes of the longest name.
    longest: usize,
}

impl Targets {
    /// `upstreams` are those of `stream`, in its order.
    pub(super) fn new(stream: &Stream, upstreams: &[Upstream]) -> Arc<Self> {
        let mut by_name = HashMap::with_capacity(upstreams.len());
        for (config, upstream) in stream.upstreams.iter().zip(upstreams) {
            // As in nginx, the first counts.
            let name = config.name.to_ascii_lowercase();
            by_name.entry(name).or_insert_with(|| upstream.clone());
        }
        let longest = by_name.keys().map(String::len).max().unwrap_or(0);
        Arc::new(Self { by_name, longest })
    }

    /// Where `text` leads: to the upstream of that name, to an address, or to the addresses of a host that `hosts` looks
    /// up. Every reason for a refusal is worded as in nginx.
    pub(super) fn route(&self, text: &[u8], hosts: Option<&Arc<HostCache>>) -> RouteAction {
        let Ok(text) = std::str::from_utf8(text) else {
            let text = String::from_utf8_lossy(text);
            return refuse(AddressError::InvalidHost, &text);
        };
        if let Some(upstream) = self.named(text) {
            return upstream.clone().into();
        }
        let address = match Address::parse(text) {
            Ok(address) => address,
            Err(reason) => return refuse(reason, text),
        };
        let host = match address.host() {
            Ok(host) => host,
            // Only where there is a port nginx would look the name up.
            Err(reason) if address.port.is_some() => return refuse(reason, text),
            Err(_) => return refuse(AddressError::NoPort, &address.text),
        };
        match (host, address.port) {
            (Host::Unix(path), _) => connect(text, [Backend::unix(path.as_path())]),
            (_, None) => refuse(AddressError::NoPort, &address.text),
            (Host::Ip(ip), Some(port)) => connect(text, [Backend::new((ip, port).into())]),
            (Host::Name(name) | Host::Service(name), Some(port)) => match hosts {
                Some(hosts) => look_up(text.to_owned(), name, port, Arc::clone(hosts)),
                None => {
                    RouteAction::Refuse(format!("no resolver defined to resolve {name}").into())
                }
            },
        }
    }

    fn named(&self, text: &str) -> Option<&Upstream> {
        // A text from a client may be long. It is copied only if its length is that of a name.
        if text.len() > self.longest {
            return None;
        }
        match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.by_name.get(&text.to_ascii_lowercase()),
            false => self.by_name.get(text),
        }
    }
}

/// An upstream for one session. As in nginx, the session tries each address once, and its failures count for no other session.
fn connect(name: &str, backends: impl IntoIterator<Item = Backend>) -> RouteAction {
    let built = Upstream::builder(name)
        .policy(WeightedRoundRobin::new())
        .fixed(&Snapshot::from_backends(backends));
    match built {
        Ok(upstream) => upstream.into(),
        // It has no setting that could be wrong.
        Err(error) => RouteAction::Refuse(error.to_string().into()),
    }
}

fn look_up(text: String, name: String, port: u16, hosts: Arc<HostCache>) -> RouteAction {
    RouteAction::later(async move {
        match hosts.look_up(&name).await {
            Ok(ips) => connect(
                &text,
                ips.into_iter().map(|ip| Backend::new((ip, port).into())),
            ),
            Err(failure) => {
                let reason: Cow<'_, str> = match failure {
                    LookupFailure::NotFound => "3: Host not found".into(),
                    LookupFailure::Server => "2: Server failure".into(),
                    LookupFailure::Timeout => "110: Operation timed out".into(),
                };
                RouteAction::Refuse(format!("{name} could not be resolved ({reason})").into())
            }
        }
    })
}

fn refuse(reason: AddressError, text: &str) -> RouteAction {
    RouteAction::Refuse(format!("{reason} in upstream \"{text}\"").into())
}
