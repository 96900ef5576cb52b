//! `set_real_ip_from`.

use lb_proxy::Network;

use crate::config::Host;
use crate::syntax::address::Address;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::ConfigError;

impl<S: Scope + AsMut<Vec<Network>>> Directive<S> {
    pub(crate) const REAL_IP: &'static [Self] = &[Self::simple(
        "set_real_ip_from",
        Exactly(1),
        |scope, line, _| {
            scope.as_mut().extend(network(line)?);
            Ok(())
        },
    )];
}

fn network(line: &Line) -> Result<Option<Network>, ConfigError> {
    let text = line.arg();
    // Proxies on sockets of the file system: there are none.
    if text == "unix:" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        match Address::parse(text).and_then(|address| address.host()) {
            Ok(Host::Name(_)) => line.not_supported_parameter(text),
            _ => line.invalid("parameter", text),
        }
    })
}
