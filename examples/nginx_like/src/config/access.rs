//! `allow` and `deny`.

use lb_proxy::access::Network;

use super::low_bits::warn_low_bits;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// An `allow` or `deny` directive. The first rule that matches a client counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct AccessRule {
    /// The clients that it matches. `None`: those on unix domain sockets.
    pub(crate) network: Option<Network>,
    pub(crate) allows: bool,
}

impl<B: Has<Vec<AccessRule>>> Directive<B> {
    pub(crate) const ACCESS: &'static [Self] = &[
        Self::simple("allow", Exactly(1), |block, statement, reader| {
            add(block.part(), statement, reader, true)
        }),
        Self::simple("deny", Exactly(1), |block, statement, reader| {
            add(block.part(), statement, reader, false)
        }),
    ];
}

fn add(
    rules: &mut Vec<AccessRule>,
    statement: &Statement,
    reader: &mut Reader<'_>,
    allows: bool,
) -> Result<(), ConfigError> {
    let clients: &[&str] = match statement.arg() {
        "all" => &["0.0.0.0/0", "::/0", "unix:"],
        clients => &[clients],
    };
    for text in clients {
        let network = match *text {
            "unix:" => None,
            text => {
                let invalid = |_| statement.invalid("parameter", statement.arg());
                let network = text.parse().map_err(invalid)?;
                warn_low_bits(text, statement, reader);
                Some(network)
            }
        };
        rules.push(AccessRule { network, allows });
    }
    Ok(())
}
