//! A `server` block of the `stream` block.

use lb_proxy::Network;

use crate::config::listen;
use crate::config::resolver::NameResolution;
use crate::config::settings::ProxySettings;
use crate::config::{AccessRule, ClientLimit, ErrorLog, Listen};
use crate::syntax::address::{Address, AddressError};
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind, Span};

#[derive(Debug)]
pub(crate) struct ServerBlock {
    pub(crate) listens: Vec<Listen>,
    pub(crate) proxy_pass: Option<Destination>,
    pub(crate) settings: ProxySettings,
    pub(crate) names: NameResolution,
    pub(crate) access: Vec<AccessRule>,
    pub(crate) client_limits: Vec<ClientLimit>,
    pub(crate) real_ip_from: Vec<Network>,
    pub(crate) logs: Vec<ErrorLog>,
    pub(crate) span: Span,
}

/// Where a server sends its connections.
#[derive(Debug)]
pub(crate) enum Destination {
    /// As a map says, whose variable this is.
    Map(String, Span),
    One(ProxyPass),
}

/// One place to send connections to: the name of an upstream, or one host and port.
#[derive(Clone, Debug)]
pub(crate) struct ProxyPass {
    pub(crate) url: String,
    pub(crate) address: Address,
    pub(crate) span: Span,
}

impl ProxyPass {
    pub(crate) fn error(&self, kind: ErrorKind) -> ConfigError {
        ConfigError::new(kind, Some(self.span.clone()))
    }

    pub(crate) fn address_error(&self, reason: AddressError) -> ConfigError {
        let url = self.url.clone();
        self.error(ErrorKind::UpstreamAddress { reason, url })
    }
}

const SERVER: &[Directive<ServerBlock>] = &[
    Directive::simple("listen", AtLeast(1), |server, line, _| {
        server.listens.push(listen::parse(line)?);
        Ok(())
    }),
    Directive::simple("proxy_pass", Exactly(1), |server, line, _| {
        line.once(&mut server.proxy_pass, destination)
    }),
];

impl Scope for ServerBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] = &[
        SERVER,
        Directive::PROXY_SETTINGS,
        Directive::NAME_RESOLUTION,
        Directive::ACCESS,
        Directive::LIMIT_CONN,
        Directive::REAL_IP,
        Directive::LOGS,
    ];
}

impl ServerBlock {
    pub(crate) fn new(span: Span) -> Self {
        Self {
            listens: Vec::new(),
            proxy_pass: None,
            settings: ProxySettings::default(),
            names: NameResolution::default(),
            access: Vec::new(),
            client_limits: Vec::new(),
            real_ip_from: Vec::new(),
            logs: Vec::new(),
            span,
        }
    }
}

fn destination(line: &Line) -> Result<Destination, ConfigError> {
    let variable = line.arg().strip_prefix('$');
    let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match variable.filter(|name| !name.is_empty()).filter(is_name) {
        Some(name) => {
            let name = name.to_ascii_lowercase();
            Ok(Destination::Map(name, line.span.clone()))
        }
        None => Ok(Destination::One(proxy_pass(line)?)),
    }
}

pub(crate) fn proxy_pass(line: &Line) -> Result<ProxyPass, ConfigError> {
    let url = line.arg().to_owned();
    let address = if url.contains('$') {
        Err(AddressError::Variable)
    } else {
        Address::parse(&url)
    };
    match address {
        Ok(address) => Ok(ProxyPass {
            url,
            address,
            span: line.span.clone(),
        }),
        Err(reason) => Err(line.error(ErrorKind::UpstreamAddress { reason, url })),
    }
}

impl AsMut<ProxySettings> for ServerBlock {
    fn as_mut(&mut self) -> &mut ProxySettings {
        &mut self.settings
    }
}

impl AsMut<Vec<AccessRule>> for ServerBlock {
    fn as_mut(&mut self) -> &mut Vec<AccessRule> {
        &mut self.access
    }
}

impl AsMut<Vec<ClientLimit>> for ServerBlock {
    fn as_mut(&mut self) -> &mut Vec<ClientLimit> {
        &mut self.client_limits
    }
}

impl AsMut<Vec<Network>> for ServerBlock {
    fn as_mut(&mut self) -> &mut Vec<Network> {
        &mut self.real_ip_from
    }
}

impl AsMut<NameResolution> for ServerBlock {
    fn as_mut(&mut self) -> &mut NameResolution {
        &mut self.names
    }
}

impl AsMut<Vec<ErrorLog>> for ServerBlock {
    fn as_mut(&mut self) -> &mut Vec<ErrorLog> {
        &mut self.logs
    }
}
