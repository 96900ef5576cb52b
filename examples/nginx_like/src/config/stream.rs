//! The `stream` block.

use std::collections::HashSet;

use lb_proxy::Network;

use crate::config::limit_conn;
use crate::config::map::MapBlock;
use crate::config::resolver::NameResolution;
use crate::config::server::ServerBlock;
use crate::config::settings::ProxySettings;
use crate::config::upstream::block::UpstreamBlock;
use crate::config::{AccessRule, ClientLimit, ClientZone, ErrorLog};
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind};
use crate::syntax::reader::Reader;

#[derive(Debug, Default)]
pub(crate) struct StreamBlock {
    pub(crate) upstreams: Vec<UpstreamBlock>,
    /// The names of the upstreams in small letters.
    upstream_names: HashSet<String>,
    pub(crate) servers: Vec<ServerBlock>,
    pub(crate) settings: ProxySettings,
    pub(crate) names: NameResolution,
    pub(crate) client_zones: Vec<ClientZone>,
    pub(crate) access: Vec<AccessRule>,
    pub(crate) client_limits: Vec<ClientLimit>,
    pub(crate) real_ip_from: Vec<Network>,
    pub(crate) maps: Vec<MapBlock>,
    pub(crate) logs: Vec<ErrorLog>,
}

const STREAM: &[Directive<StreamBlock>] = &[
    Directive::simple("limit_conn_zone", Exactly(2), StreamBlock::client_zone),
    Directive::block("map", Exactly(2), StreamBlock::map),
    Directive::block("server", Exactly(0), |stream, line, reader| {
        let server = reader.read_block(ServerBlock::new(line.span.clone()))?;
        if server.listens.is_empty() {
            return Err(line.error(ErrorKind::NoListen));
        }
        stream.servers.push(server);
        Ok(())
    }),
    Directive::block("upstream", Exactly(1), StreamBlock::upstream),
];

impl Scope for StreamBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] = &[
        STREAM,
        Directive::PROXY_SETTINGS,
        Directive::NAME_RESOLUTION,
        Directive::ACCESS,
        Directive::LIMIT_CONN,
        Directive::REAL_IP,
        Directive::LOGS,
    ];
}

impl StreamBlock {
    fn client_zone(&mut self, line: &Line, _: &mut Reader<'_>) -> Result<(), ConfigError> {
        let zone = limit_conn::zone(line)?;
        if self
            .client_zones
            .iter()
            .any(|other| other.name == zone.name)
        {
            return Err(line.error(ErrorKind::DuplicateClientZone { zone: zone.name }));
        }
        self.client_zones.push(zone);
        Ok(())
    }

    fn map(&mut self, line: &Line, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        let map = MapBlock::new(line)?;
        let name = map.variable.clone();
        if self.maps.iter().any(|other| other.variable == name) {
            return Err(line.error(ErrorKind::DuplicateVariable { name }));
        }
        self.maps.push(reader.read_block(map)?);
        Ok(())
    }

    fn upstream(&mut self, line: &Line, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        let name = line.arg().to_owned();
        // As in nginx, capital letters make no difference.
        if !self.upstream_names.insert(name.to_ascii_lowercase()) {
            return Err(line.error(ErrorKind::DuplicateUpstream { name }));
        }
        let upstream = UpstreamBlock::new(name, line.span.clone());
        let upstream = reader.read_block(upstream)?;
        upstream.check(reader.here())?;
        self.upstreams.push(upstream);
        Ok(())
    }
}

impl AsMut<ProxySettings> for StreamBlock {
    fn as_mut(&mut self) -> &mut ProxySettings {
        &mut self.settings
    }
}

impl AsMut<Vec<AccessRule>> for StreamBlock {
    fn as_mut(&mut self) -> &mut Vec<AccessRule> {
        &mut self.access
    }
}

impl AsMut<Vec<ClientLimit>> for StreamBlock {
    fn as_mut(&mut self) -> &mut Vec<ClientLimit> {
        &mut self.client_limits
    }
}

impl AsMut<Vec<Network>> for StreamBlock {
    fn as_mut(&mut self) -> &mut Vec<Network> {
        &mut self.real_ip_from
    }
}

impl AsMut<NameResolution> for StreamBlock {
    fn as_mut(&mut self) -> &mut NameResolution {
        &mut self.names
    }
}

impl AsMut<Vec<ErrorLog>> for StreamBlock {
    fn as_mut(&mut self) -> &mut Vec<ErrorLog> {
        &mut self.logs
    }
}
