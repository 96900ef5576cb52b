//! The `stream` block.

use super::limit_conn::LimitConnZone;
use super::map::MapBlock;
use super::server::{Server, ServerBlock};
use super::server_settings::ServerDraft;
use super::upstream::block::{Upstream, UpstreamBlock, UpstreamBlocks};
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Block, Directive, Has};

/// The `stream` block with defaults and inheritance applied.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The `upstream` blocks in the order of the text, then the upstreams that `proxy_pass HOST:PORT` creates.
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) limit_conn_zones: Vec<LimitConnZone>,
    /// The `server` blocks in the order of the text.
    pub(crate) servers: Vec<Server>,
}

/// The `stream` block as written.
#[derive(Debug, Default)]
pub(crate) struct StreamBlock {
    pub(crate) upstreams: UpstreamBlocks,
    pub(crate) servers: Vec<ServerBlock>,
    pub(crate) maps: Vec<MapBlock>,
    pub(crate) limit_conn_zones: Vec<LimitConnZone>,
    pub(crate) settings: ServerDraft,
}

impl Block for StreamBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::simple("limit_conn_zone", Exactly(2), |stream, statement, _| {
            LimitConnZone::read(&mut stream.limit_conn_zones, statement)
        }),
        Directive::block("map", Exactly(2), |stream, statement, reader| {
            MapBlock::read(&mut stream.maps, statement, reader)
        }),
        Directive::block("server", Exactly(0), |stream, statement, reader| {
            ServerBlock::read(&mut stream.servers, statement, reader)
        }),
        Directive::block("upstream", Exactly(1), |stream, statement, reader| {
            UpstreamBlock::read(&mut stream.upstreams, statement, reader)
        }),
    ];
    const SHARED: &'static [&'static [Directive<Self>]] = Directive::SERVER_SETTINGS;
}

impl Has<ServerDraft> for StreamBlock {
    fn part(&mut self) -> &mut ServerDraft {
        &mut self.settings
    }
}
