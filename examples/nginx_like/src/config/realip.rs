//! `set_real_ip_from`.

use lb_proxy::access::Network;

use crate::syntax::address::{Address, Host};
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;

impl<B: Has<Vec<Network>>> Directive<B> {
    pub(crate) const REALIP: &'static [Self] = &[Self::simple(
        "set_real_ip_from",
        Exactly(1),
        |block, statement, _| {
            block.part().extend(network(statement)?);
            Ok(())
        },
    )];
}

fn network(statement: &Statement) -> Result<Option<Network>, ConfigError> {
    let text = statement.arg();
    // Proxies on unix domain sockets: there are none.
    if text == "unix:" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        match Address::parse(text).and_then(|address| address.host()) {
            Ok(Host::Name(_)) => statement.not_supported_parameter(text),
            _ => statement.invalid("parameter", text),
        }
    })
}
