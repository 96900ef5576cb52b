//! A `server` of an `upstream` block.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::error::UpstreamError;
use crate::syntax::address::{Address, AddressError, Host, is_host_name};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// A `server` of an `upstream` block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct UpstreamServer {
    pub(crate) host: Host,
    /// The TCP port; 0 for a service, because its records name the ports, and for a unix domain socket.
    pub(crate) port: u16,
    /// `weight`, 1 by default. For a service 1 means the weights of its records.
    pub(crate) weight: NonZeroU16,
    /// `max_fails`, 1 by default: failures within `fail_timeout` that eject the server. With 0 it is never ejected.
    pub(crate) max_fails: u32,
    /// `fail_timeout`, 10 s by default: also how long the server stays ejected.
    pub(crate) fail_timeout: Duration,
    /// `max_conns`: the limit on connections at a time.
    pub(crate) max_conns: Option<NonZeroU32>,
    /// `backup`: used only when no other server is eligible.
    pub(crate) backup: bool,
    /// `down`: never used.
    pub(crate) down: bool,
    /// `slow_start`: how long the share of the server grows after it is back. None by default, and with 0.
    pub(crate) slow_start: Option<Duration>,
    /// `resolve`: the `resolver` looks the host name up. Without it, the system does.
    pub(crate) resolve: bool,
    pub(crate) span: Span,
}

impl UpstreamServer {
    /// A server without parameters.
    pub(crate) fn new(host: Host, port: u16, span: Span) -> Self {
        Self {
            host,
            port,
            weight: NonZeroU16::MIN,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_conns: None,
            backup: false,
            down: false,
            slow_start: None,
            resolve: false,
            span,
        }
    }

    /// The same wherever it is in the text.
    pub(crate) fn without_span(&self) -> Self {
        Self {
            span: Span::none(),
            ..self.clone()
        }
    }

    pub(crate) fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let url = || statement.arg().to_owned();
        let invalid = |reason| statement.error(UpstreamError::Address { reason, url: url() });
        let address = Address::parse(statement.arg()).map_err(invalid)?;
        let service = Service::read(statement)?;
        if service.is_none() && address.port.is_none() && !address.is_unix() {
            return Err(invalid(AddressError::NoPort));
        }
        let mut host = address.host().map_err(invalid)?;
        if let Some(service) = service {
            host = service.host(&address, host, statement)?;
        }
        let port = address.port.unwrap_or_default();
        let mut server = Self::new(host, port, statement.span.clone());
        for parameter in statement.parameters() {
            server.set(parameter, statement)?;
        }
        Ok(server)
    }

    fn set(&mut self, parameter: &str, statement: &Statement) -> Result<(), ConfigError> {
        let invalid = || statement.invalid("parameter", parameter);
        let number = |text| units::number(text).ok_or_else(invalid);
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (parameter, None),
        };
        match (name, value) {
            ("backup", None) => self.backup = true,
            ("down", None) => self.down = true,
            ("fail_timeout", Some(value)) => {
                self.fail_timeout = units::seconds(value).ok_or_else(invalid)?;
            }
            ("max_conns", Some(value)) => {
                let limit = u32::try_from(number(value)?).map_err(|_| invalid())?;
                self.max_conns = NonZeroU32::new(limit);
            }
            ("max_fails", Some(value)) => {
                self.max_fails = u32::try_from(number(value)?).map_err(|_| invalid())?;
            }
            ("resolve", None) => self.resolve = true,
            // Read together with the host.
            ("service", Some(_)) => {}
            ("weight", Some(value)) => {
                let weight = u16::try_from(number(value)?).map_err(|_| {
                    let parameter = parameter.to_owned();
                    statement.error(UpstreamError::WeightTooLarge { parameter })
                })?;
                self.weight = NonZeroU16::new(weight).ok_or_else(invalid)?;
            }
            ("drain", _) => {
                let instead = "\"nginx_like drain\" drains a server that runs, and \"down\" one of the file: its open sessions go on";
                return Err(statement.refused_parameter(parameter, instead));
            }
            ("id" | "route", _) => {
                return Err(statement.refused_parameter(parameter, "it belongs to HTTP: remove it"));
            }
            ("slow_start", Some(value)) => {
                let time = units::seconds(value).ok_or_else(invalid)?;
                self.slow_start = (!time.is_zero()).then_some(time);
            }
            _ => return Err(invalid()),
        }
        Ok(())
    }
}

/// The value of `service=`, before it is joined with the host.
struct Service<'a> {
    name: &'a str,
    parameter: &'a str,
}

impl<'a> Service<'a> {
    fn read(statement: &'a Statement) -> Result<Option<Self>, ConfigError> {
        // As in nginx, the last one counts.
        let read = |parameter: &'a str| {
            let name = parameter.strip_prefix("service=")?;
            Some(Self { name, parameter })
        };
        let service = statement.parameters().filter_map(read).last();
        match service {
            Some(Self { name: "", .. }) => Err(statement.error(UpstreamError::ServiceEmpty)),
            service => Ok(service),
        }
    }

    /// The name of the SRV records.
    fn host(
        &self,
        address: &Address,
        host: Host,
        statement: &Statement,
    ) -> Result<Host, ConfigError> {
        let url = statement.arg().to_owned();
        if !statement
            .parameters()
            .any(|parameter| parameter == "resolve")
        {
            return Err(statement.error(UpstreamError::ServiceWithoutResolve { url }));
        }
        if address.port.is_some() {
            return Err(statement.error(UpstreamError::ServiceWithPort { url }));
        }
        let Host::Name(domain) = host else {
            return Err(statement.error(UpstreamError::ServiceWithoutName { url }));
        };
        let name = if self.name.contains('.') {
            format!("{}.{domain}", self.name)
        } else {
            format!("_{}._tcp.{domain}", self.name.trim_start_matches('_'))
        };
        if !is_host_name(&name) {
            return Err(statement.invalid("parameter", self.parameter));
        }
        Ok(Host::Service(name))
    }
}
