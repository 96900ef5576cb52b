//! Errors of `upstream` blocks, and of `proxy_pass`, which names upstreams or creates them.

use crate::syntax::address::AddressError;

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("{reason} in upstream \"{url}\"")]
    Address { reason: AddressError, url: String },
    /// Ours.
    #[error(
        "\"{parameter}\" differs from the \"slow_start\" of another server of this upstream: give all of them the same, because all start alike"
    )]
    DifferentSlowStart { parameter: String },
    #[error("duplicate upstream \"{name}\"")]
    Duplicate { name: String },
    #[error("no servers in upstream \"{upstream}\"")]
    NoServers { upstream: String },
    #[error("no servers are inside upstream")]
    NoServersInside,
    #[error("upstream \"{upstream}\" may not have port {port}")]
    PortOnUpstream { upstream: String, port: u16 },
    #[error("balancing method does not support parameter \"{parameter}\"")]
    NotOfMethod { parameter: String },
    #[error("service is empty")]
    ServiceEmpty,
    #[error("service upstream \"{url}\" may not have port")]
    ServiceWithPort { url: String },
    #[error("service upstream \"{url}\" requires domain name")]
    ServiceWithoutName { url: String },
    #[error("service upstream \"{url}\" requires \"resolve\" parameter")]
    ServiceWithoutResolve { url: String },
    /// Ours: nginx takes any weight that fits its integers.
    #[error("a weight over 65535 is not supported in \"{parameter}\"")]
    WeightTooLarge { parameter: String },
}
