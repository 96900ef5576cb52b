//! An `upstream` block.

use std::{
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use crate::config::resolver::NameResolution;
use crate::config::upstream::kubernetes;
use crate::config::{HashKey, Host, Kubernetes, Method, UpstreamServer};
use crate::syntax::address::{Address, AddressError, is_host_name};
use crate::syntax::directive::Args::{AtLeast, Between, Exactly};
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind, Span, WarningKind};
use crate::syntax::reader::Reader;
use crate::syntax::units;

/// nginx wants at least eight pages for a zone.
const MIN_ZONE: u64 = 8 * 4096;

#[derive(Debug)]
pub(crate) struct UpstreamBlock {
    pub(crate) name: String,
    pub(crate) method: Option<Method>,
    pub(crate) servers: Vec<UpstreamServer>,
    pub(crate) kubernetes: Vec<Kubernetes>,
    pub(crate) names: NameResolution,
    pub(crate) span: Span,
}

const UPSTREAM: &[Directive<UpstreamBlock>] = &[
    Directive::simple("hash", Between(1, 2), |upstream, line, reader| {
        let method = hash(line)?;
        upstream.set_method(method, line, reader);
        Ok(())
    }),
    Directive::simple("kubernetes", AtLeast(1), |upstream, line, reader| {
        upstream.kubernetes.push(kubernetes::service(line, reader)?);
        Ok(())
    }),
    Directive::simple("kubernetes_pods", AtLeast(2), |upstream, line, reader| {
        upstream.kubernetes.push(kubernetes::pods(line, reader)?);
        Ok(())
    }),
    Directive::simple("least_conn", Exactly(0), |upstream, line, reader| {
        upstream.set_method(Method::LeastConn, line, reader);
        Ok(())
    }),
    Directive::simple("least_time", Between(1, 2), |upstream, line, reader| {
        let method = least_time(line)?;
        upstream.set_method(method, line, reader);
        Ok(())
    }),
    Directive::simple("random", Between(0, 2), |upstream, line, reader| {
        let method = random(line)?;
        upstream.set_method(method, line, reader);
        Ok(())
    }),
    Directive::simple("server", AtLeast(1), |upstream, line, _| {
        upstream.servers.push(server(line)?);
        Ok(())
    }),
    Directive::simple("zone", Between(1, 2), |_, line, _| check_zone(line)),
];

impl Scope for UpstreamBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] =
        &[UPSTREAM, Directive::NAME_RESOLUTION];
}

impl AsMut<NameResolution> for UpstreamBlock {
    fn as_mut(&mut self) -> &mut NameResolution {
        &mut self.names
    }
}

impl UpstreamBlock {
    pub(crate) fn new(name: String, span: Span) -> Self {
        Self {
            name,
            method: None,
            servers: Vec::new(),
            kubernetes: Vec::new(),
            names: NameResolution::default(),
            span,
        }
    }

    /// Checks what can be checked only at the end of the block.
    pub(crate) fn check(&self, end: Span) -> Result<(), ConfigError> {
        if self.servers.is_empty() && self.kubernetes.is_empty() {
            return Err(ConfigError::new(ErrorKind::NoServersInside, Some(end)));
        }
        let no_backups = matches!(
            self.method,
            Some(Method::Hash { .. } | Method::Random | Method::RandomTwo)
        );
        match self
            .servers
            .iter()
            .find(|server| server.backup && no_backups)
        {
            Some(server) => {
                let span = server.span.clone();
                Err(ConfigError::new(ErrorKind::BackupNotSupported, Some(span)))
            }
            None => Ok(()),
        }
    }

    /// Takes the last method, as nginx does.
    fn set_method(&mut self, method: Method, line: &Line, reader: &mut Reader<'_>) {
        if self.method.replace(method).is_some() {
            reader.warn(WarningKind::MethodRedefined, line.span.clone());
        }
    }
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
            resolve: false,
            span,
        }
    }
}

fn server(line: &Line) -> Result<UpstreamServer, ConfigError> {
    let url = || line.arg().to_owned();
    let invalid = |reason| line.error(ErrorKind::UpstreamAddress { reason, url: url() });
    let address = Address::parse(line.arg()).map_err(invalid)?;
    let service = Service::read(line)?;
    if service.is_none() && address.port.is_none() {
        return Err(invalid(AddressError::NoPort));
    }
    let mut host = address.host().map_err(invalid)?;
    if let Some(service) = service {
        host = service.host(&address, host, line)?;
    }
    let port = address.port.unwrap_or_default();
    let mut server = UpstreamServer::new(host, port, line.span.clone());
    for parameter in line.parameters() {
        set_parameter(&mut server, parameter, line)?;
    }
    Ok(server)
}

/// What `service=` says, before it is joined with the host.
struct Service<'a> {
    name: &'a str,
    parameter: &'a str,
}

impl<'a> Service<'a> {
    fn read(line: &'a Line) -> Result<Option<Self>, ConfigError> {
        // As in nginx, the last one counts.
        let read = |parameter: &'a str| {
            let name = parameter.strip_prefix("service=")?;
            Some(Self { name, parameter })
        };
        let service = line.parameters().filter_map(read).last();
        match service {
            Some(Self { name: "", .. }) => Err(line.error(ErrorKind::ServiceEmpty)),
            service => Ok(service),
        }
    }

    /// The name of the SRV records.
    fn host(&self, address: &Address, host: Host, line: &Line) -> Result<Host, ConfigError> {
        let url = line.arg().to_owned();
        if !line.parameters().any(|parameter| parameter == "resolve") {
            return Err(line.error(ErrorKind::ServiceWithoutResolve { url }));
        }
        if address.port.is_some() {
            return Err(line.error(ErrorKind::ServiceWithPort { url }));
        }
        let Host::Name(domain) = host else {
            return Err(line.error(ErrorKind::ServiceWithoutName { url }));
        };
        let name = if self.name.contains('.') {
            format!("{}.{domain}", self.name)
        } else {
            format!("_{}._tcp.{domain}", self.name.trim_start_matches('_'))
        };
        if !is_host_name(&name) {
            return Err(line.invalid("parameter", self.parameter));
        }
        Ok(Host::Service(name))
    }
}

fn set_parameter(
    server: &mut UpstreamServer,
    parameter: &str,
    line: &Line,
) -> Result<(), ConfigError> {
    let invalid = || line.invalid("parameter", parameter);
    let number = |text| units::number(text).ok_or_else(invalid);
    let (name, value) = match parameter.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (parameter, None),
    };
    match (name, value) {
        ("backup", None) => server.backup = true,
        ("down", None) => server.down = true,
        ("fail_timeout", Some(value)) => {
            server.fail_timeout = units::seconds(value).ok_or_else(invalid)?;
        }
        ("max_conns", Some(value)) => {
            let limit = u32::try_from(number(value)?).map_err(|_| invalid())?;
            server.max_conns = NonZeroU32::new(limit);
        }
        ("max_fails", Some(value)) => {
            server.max_fails = u32::try_from(number(value)?).map_err(|_| invalid())?;
        }
        ("resolve", None) => server.resolve = true,
        // Read together with the host.
        ("service", Some(_)) => {}
        ("weight", Some(value)) => {
            let weight = u16::try_from(number(value)?).map_err(|_| {
                let parameter = parameter.to_owned();
                line.error(ErrorKind::WeightTooLarge { parameter })
            })?;
            server.weight = NonZeroU16::new(weight).ok_or_else(invalid)?;
        }
        ("drain" | "id" | "route" | "slow_start", _) => {
            return Err(line.not_supported_parameter(parameter));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}

fn hash(line: &Line) -> Result<Method, ConfigError> {
    let key = HashKey::parse(line.arg()).map_err(|error| line.error(ErrorKind::HashKey(error)))?;
    let consistent = match line.parameters().next() {
        None => false,
        Some("consistent") => true,
        Some(other) => return Err(line.invalid("parameter", other)),
    };
    Ok(Method::Hash { key, consistent })
}

fn least_time(line: &Line) -> Result<Method, ConfigError> {
    match line.arg() {
        "connect" => {}
        other @ ("first_byte" | "last_byte") => return Err(line.not_supported_parameter(other)),
        other => return Err(line.invalid("parameter", other)),
    }
    match line.parameters().next() {
        None => Ok(Method::LeastTime),
        Some(inflight @ "inflight") => Err(line.not_supported_parameter(inflight)),
        Some(other) => Err(line.invalid("parameter", other)),
    }
}

fn random(line: &Line) -> Result<Method, ConfigError> {
    let mut parameters = line.args().iter().map(String::as_str);
    let method = match parameters.next() {
        None => return Ok(Method::Random),
        Some("two") => Method::RandomTwo,
        Some(other) => return Err(line.invalid("parameter", other)),
    };
    match parameters.next() {
        None | Some("least_conn") => Ok(method),
        Some(other) if other.starts_with("least_time") => Err(line.not_supported_parameter(other)),
        Some(other) => Err(line.invalid("parameter", other)),
    }
}

fn check_zone(line: &Line) -> Result<(), ConfigError> {
    let zone = line.arg();
    if zone.is_empty() {
        return Err(line.invalid("zone name", zone));
    }
    let Some(text) = line.parameters().next() else {
        return Ok(());
    };
    match units::size(text) {
        None => Err(line.invalid("zone size", text)),
        Some(size) if size < MIN_ZONE => {
            let zone = zone.to_owned();
            Err(line.error(ErrorKind::ZoneTooSmall { zone }))
        }
        Some(_) => Ok(()),
    }
}
