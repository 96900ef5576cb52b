//! Errors of turning a configuration into a proxy.

use std::io;
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;
use lb_discovery::DiscoveryError;

use crate::syntax::error::Os;
use crate::syntax::span::Span;

/// An error of turning a configuration into a proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[cfg(not(feature = "kubernetes"))]
    #[error("nginx_like was built without its feature \"kubernetes\", which is needed in {span}")]
    BuiltWithoutKubernetes { span: Span },
    #[error("{source} in {span}")]
    Discovery { source: DiscoveryError, span: Span },
    #[error("getsockname() of the inherited socket {addr} failed ({})", Os(source))]
    InheritedSocket { addr: Endpoint, source: io::Error },
    #[error(
        "the inherited socket {addr} takes IPv4 and IPv6, and two servers ask for it: set BindIPv6Only=ipv6-only and a \
         ListenStream= for each family, in {span}"
    )]
    InheritedTwice { addr: Endpoint, span: Span },
    #[error("no \"stream\" block: there is nothing to balance in {}", file.display())]
    NoStream { file: Arc<Path> },
    #[error(transparent)]
    Proxy(#[from] lb_proxy::errors::BuildError),
}

impl BuildError {
    /// Whether a lack of rights to a file may be the cause.
    pub(crate) const fn may_lack_file_rights(&self) -> bool {
        matches!(self, Self::Discovery { .. })
    }
}
