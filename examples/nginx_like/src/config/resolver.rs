//! `resolver` and `resolver_timeout`.

use std::net::SocketAddr;
use std::time::Duration;

use super::look_up::look_up;
use crate::syntax::address::{Address, AddressError};
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

const RESOLVER_TIMEOUT: Duration = Duration::from_secs(30);

/// The arguments of `resolver`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Resolver {
    /// At least one.
    pub(crate) name_servers: Vec<SocketAddr>,
    /// `valid`: how long an answer is used, instead of its own time to live.
    pub(crate) valid: Option<Duration>,
    /// `ipv4` and `ipv6`.
    pub(crate) families: AddressFamilies,
    pub(crate) span: Span,
}

/// The families of addresses that a resolver asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AddressFamilies {
    /// The default.
    Both,
    /// `ipv6=off`
    Ipv4,
    /// `ipv4=off`
    Ipv6,
}

/// How host names are looked up, as written in one block.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NameResolution {
    pub(crate) resolver: Option<Resolver>,
    timeout: Option<Duration>,
}

/// A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum ResolverError {
    #[error("{reason} in resolver \"{url}\"")]
    Address { reason: AddressError, url: String },
    #[error("invalid parameter: {parameter}")]
    InvalidParameter { parameter: String },
    #[error("\"ipv4\" and \"ipv6\" cannot both be \"off\"")]
    NoFamily,
    #[error("no name servers defined")]
    NoNameServers,
}

impl NameResolution {
    /// Adds the values of the outer block that this block does not set.
    pub(crate) fn inherit(&self, outer: &Self) -> Self {
        Self {
            resolver: self.resolver.as_ref().or(outer.resolver.as_ref()).cloned(),
            timeout: self.timeout.or(outer.timeout),
        }
    }

    /// `resolver_timeout`, 30 s by default. Zero means no limit.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(RESOLVER_TIMEOUT)
    }
}

impl<B: Has<NameResolution>> Directive<B> {
    pub(crate) const RESOLVER: &'static [Self] = &[
        Self::simple("resolver", AtLeast(1), |block, statement, _| {
            statement.once(&mut block.part().resolver, Resolver::read)
        }),
        Self::simple("resolver_timeout", Exactly(1), |block, statement, _| {
            statement.once(&mut block.part().timeout, Statement::milliseconds)
        }),
    ];
}

impl Resolver {
    /// The same wherever it is in the text.
    pub(crate) fn without_span(&self) -> Self {
        Self {
            span: Span::none(),
            ..self.clone()
        }
    }

    fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let mut name_servers = Vec::new();
        let mut valid = None;
        let (mut ipv4, mut ipv6) = (true, true);
        for arg in statement.args() {
            let invalid = || {
                let parameter = arg.clone();
                statement.error(ResolverError::InvalidParameter { parameter })
            };
            match arg.split_once('=') {
                Some(("valid", time)) => {
                    let time = units::seconds(time).ok_or_else(invalid)?;
                    valid = (!time.is_zero()).then_some(time);
                }
                Some(("ipv4", value)) => ipv4 = exact_flag(value).ok_or_else(invalid)?,
                Some(("ipv6", value)) => ipv6 = exact_flag(value).ok_or_else(invalid)?,
                Some(("status_zone", _)) => {
                    let instead = "remove it: \"lb_admin\" serves the state of all look-ups, at /metrics and /status.json";
                    return Err(statement.refused_parameter(arg, instead));
                }
                _ => {
                    let address = Address::parse(arg);
                    let found = address.and_then(|address| address.name_servers(look_up));
                    name_servers.extend(found.map_err(|reason| {
                        let url = arg.clone();
                        statement.error(ResolverError::Address { reason, url })
                    })?);
                }
            }
        }
        let families = match (ipv4, ipv6) {
            (true, true) => AddressFamilies::Both,
            (true, false) => AddressFamilies::Ipv4,
            (false, true) => AddressFamilies::Ipv6,
            (false, false) => return Err(statement.error(ResolverError::NoFamily)),
        };
        if name_servers.is_empty() {
            return Err(statement.error(ResolverError::NoNameServers));
        }
        Ok(Self {
            name_servers,
            valid,
            families,
            span: statement.span.clone(),
        })
    }
}

/// Parses `on` or `off`; nginx does not take capital letters here.
fn exact_flag(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}
