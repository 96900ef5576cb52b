//! `allow` and `deny`.

use lb_proxy::Network;

use crate::config::AccessRule;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::ConfigError;

impl<S: Scope + AsMut<Vec<AccessRule>>> Directive<S> {
    pub(crate) const ACCESS: &'static [Self] = &[
        Self::simple("allow", Exactly(1), |scope, line, _| {
            add(scope.as_mut(), line, true)
        }),
        Self::simple("deny", Exactly(1), |scope, line, _| {
            add(scope.as_mut(), line, false)
        }),
    ];
}

fn add(rules: &mut Vec<AccessRule>, line: &Line, allows: bool) -> Result<(), ConfigError> {
    let networks: &[&str] = match line.arg() {
        "all" => &["0.0.0.0/0", "::/0"],
        // Clients on sockets of the file system: there are none.
        "unix:" => &[],
        network => &[network],
    };
    for text in networks {
        let network: Network = text
            .parse()
            .map_err(|_| line.invalid("parameter", line.arg()))?;
        rules.push(AccessRule { network, allows });
    }
    Ok(())
}
