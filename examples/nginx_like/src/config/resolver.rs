//! `resolver` and `resolver_timeout`.

use std::time::Duration;

use crate::config::{AddressFamilies, Resolver};
use crate::syntax::address::Address;
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind, WarningKind};
use crate::syntax::reader::Reader;
use crate::syntax::units;

/// How host names are looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameResolution {
    pub(crate) resolver: Option<Resolver>,
    pub(crate) timeout: Option<Duration>,
}

impl NameResolution {
    /// Fills in what the block around sets.
    pub(crate) fn inherit(&self, outer: &Self) -> Self {
        Self {
            resolver: self.resolver.as_ref().or(outer.resolver.as_ref()).cloned(),
            timeout: self.timeout.or(outer.timeout),
        }
    }
}

impl<S: Scope + AsMut<NameResolution>> Directive<S> {
    pub(crate) const NAME_RESOLUTION: &'static [Self] = &[
        Self::simple("resolver", AtLeast(1), |scope, line, reader| {
            line.once(&mut scope.as_mut().resolver, |line| resolver(line, reader))
        }),
        Self::simple("resolver_timeout", Exactly(1), |scope, line, _| {
            line.once(&mut scope.as_mut().timeout, Line::milliseconds)
        }),
    ];
}

fn resolver(line: &Line, reader: &mut Reader<'_>) -> Result<Resolver, ConfigError> {
    let mut name_servers = Vec::new();
    let mut valid = None;
    let (mut ipv4, mut ipv6) = (true, true);
    for arg in line.args() {
        let invalid = || {
            let parameter = arg.clone();
            line.error(ErrorKind::InvalidResolverParameter { parameter })
        };
        match arg.split_once('=') {
            Some(("valid", time)) => {
                let time = units::seconds(time).ok_or_else(invalid)?;
                valid = (!time.is_zero()).then_some(time);
            }
            Some(("ipv4", value)) => ipv4 = exact_flag(value).ok_or_else(invalid)?,
            Some(("ipv6", value)) => ipv6 = exact_flag(value).ok_or_else(invalid)?,
            Some(("status_zone", _)) => {
                let parameter = arg.clone();
                reader.warn(
                    WarningKind::NoEffectParameter { parameter },
                    line.span.clone(),
                );
            }
            _ => {
                let address = Address::parse(arg).and_then(|address| address.name_server());
                name_servers.push(address.map_err(|reason| {
                    let url = arg.clone();
                    line.error(ErrorKind::ResolverAddress { reason, url })
                })?);
            }
        }
    }
    let families = match (ipv4, ipv6) {
        (true, true) => AddressFamilies::Both,
        (true, false) => AddressFamilies::Ipv4,
        (false, true) => AddressFamilies::Ipv6,
        (false, false) => return Err(line.error(ErrorKind::NoResolverFamily)),
    };
    if name_servers.is_empty() {
        return Err(line.error(ErrorKind::NoNameServers));
    }
    Ok(Resolver {
        name_servers,
        valid,
        families,
        span: line.span.clone(),
    })
}

/// Reads `on` or `off`; here nginx does not take capital letters.
fn exact_flag(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
