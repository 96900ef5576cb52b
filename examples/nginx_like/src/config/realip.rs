//! `set_real_ip_from`.

use std::net::ToSocketAddrs;

use lb_proxy::access::Network;
use lb_proxy::proxy_protocol::TrustedNetworks;

use super::low_bits::warn_low_bits;
use crate::syntax::address::is_host_name;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// The proxies that one `set_real_ip_from` trusts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RealIpFrom {
    Network(Network),
    /// Those on unix domain sockets.
    Unix,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
#[error("host not found in set_real_ip_from \"{name}\"")]
struct HostNotFound {
    name: String,
}

/// The networks that are trusted, all together.
pub(crate) fn networks(trusted: &[RealIpFrom]) -> TrustedNetworks {
    let networks = trusted.iter().filter_map(|one| match one {
        RealIpFrom::Network(network) => Some(*network),
        RealIpFrom::Unix => None,
    });
    let networks: TrustedNetworks = networks.collect();
    match trusted.contains(&RealIpFrom::Unix) {
        true => networks.trust_unix(),
        false => networks,
    }
}

impl<B: Has<Vec<RealIpFrom>>> Directive<B> {
    pub(crate) const REALIP: &'static [Self] = &[Self::simple(
        "set_real_ip_from",
        Exactly(1),
        |block, statement, reader| {
            block.part().extend(trusted(statement, reader)?);
            Ok(())
        },
    )];
}

/// Reads a network, an address, `unix:` or a name, which is looked up, as in nginx while the configuration is read.
fn trusted(statement: &Statement, reader: &mut Reader<'_>) -> Result<Vec<RealIpFrom>, ConfigError> {
    let text = statement.arg();
    if text == "unix:" {
        return Ok(vec![RealIpFrom::Unix]);
    }
    if let Ok(network) = text.parse() {
        warn_low_bits(text, statement, reader);
        return Ok(vec![RealIpFrom::Network(network)]);
    }
    if !is_host_name(text) {
        return Err(statement.invalid("parameter", text));
    }
    let found = (text, 0).to_socket_addrs().map_err(|_| {
        let name = text.to_owned();
        statement.error(HostNotFound { name })
    })?;
    let networks = found.map(|addr| RealIpFrom::Network(addr.ip().into()));
    Ok(networks.collect())
}
