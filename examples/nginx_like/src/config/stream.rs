//! The `stream` block.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::admin::AdminListen;
use super::limit_conn::LimitConnZone;
use super::log_format::LogFormat;
use super::match_block::Match;
use super::name_table::NameTable;
use super::server::{Server, ServerBlock};
use super::server_settings::ServerDraft;
use super::upstream::block::{Upstream, UpstreamBlock, UpstreamBlocks};
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Block, Directive, Has};
use crate::variables::definitions::Definitions;
use crate::variables::table::Variables;

/// The `stream` block with defaults and inheritance applied.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// What the values of its directives are evaluated with.
    pub(crate) variables: Arc<Variables>,
    /// The `upstream` blocks in the order of the text, then the upstreams that `proxy_pass HOST:PORT` creates.
    pub(crate) upstreams: Vec<Upstream>,
    /// `lb_admin`, ours.
    pub(crate) admin: Option<AdminListen>,
    /// `lb_orphan_timeout`, ours: how long sessions outlast the local address that their clients connected to.
    pub(crate) orphan_timeout: Option<Duration>,
    pub(crate) limit_conn_zones: Vec<LimitConnZone>,
    pub(crate) log_formats: Vec<Arc<LogFormat>>,
    /// The `server` blocks in the order of the text.
    pub(crate) servers: Vec<Server>,
    /// The virtual servers of the addresses that have some.
    pub(crate) name_tables: HashMap<SocketAddr, NameTable>,
}

/// The `stream` block as written.
#[derive(Debug, Default)]
pub(crate) struct StreamBlock {
    pub(crate) upstreams: UpstreamBlocks,
    pub(crate) servers: Vec<ServerBlock>,
    /// The variables that its directives define.
    pub(crate) definitions: Definitions,
    pub(crate) admin: Option<AdminListen>,
    pub(crate) orphan_timeout: Option<Option<Duration>>,
    pub(crate) limit_conn_zones: Vec<LimitConnZone>,
    pub(crate) log_formats: Vec<Arc<LogFormat>>,
    /// `match`, for health checks.
    pub(crate) matches: Vec<Match>,
    pub(crate) settings: ServerDraft,
}

impl Block for StreamBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::GEO,
        Directive::simple("lb_admin", AtLeast(1), |stream, statement, reader| {
            statement.once(&mut stream.admin, |statement| {
                AdminListen::read(statement, reader)
            })
        }),
        Directive::simple("lb_orphan_timeout", Exactly(1), |stream, statement, _| {
            statement.once(&mut stream.orphan_timeout, |statement| {
                let is_off = statement.arg() == "off";
                (!is_off).then(|| statement.milliseconds()).transpose()
            })
        }),
        Directive::simple(
            "limit_conn_zone",
            Exactly(2),
            |stream, statement, reader| {
                LimitConnZone::read(&mut stream.limit_conn_zones, statement, reader)
            },
        ),
        Directive::simple("log_format", AtLeast(2), |stream, statement, reader| {
            LogFormat::read(&mut stream.log_formats, statement, reader)
        }),
        Directive::MAP,
        Directive::MAP_HASH_BUCKET_SIZE,
        Directive::MAP_HASH_MAX_SIZE,
        Directive::MATCH,
        Directive::block("server", Exactly(0), |stream, statement, reader| {
            let Self {
                servers,
                definitions,
                ..
            } = stream;
            ServerBlock::read(servers, definitions, statement, reader)
        }),
        // A hash table of any size finds a name at once.
        Directive::without_effect("server_names_hash_bucket_size", Exactly(1)),
        Directive::without_effect("server_names_hash_max_size", Exactly(1)),
        Directive::SPLIT_CLIENTS,
        Directive::block("upstream", Exactly(1), |stream, statement, reader| {
            UpstreamBlock::read(&mut stream.upstreams, statement, reader)
        }),
        Directive::VARIABLES_HASH_BUCKET_SIZE,
        Directive::VARIABLES_HASH_MAX_SIZE,
    ];
    const SHARED: &'static [&'static [Directive<Self>]] = Directive::SERVER_SETTINGS;
}

impl Has<Definitions> for StreamBlock {
    fn part(&mut self) -> &mut Definitions {
        &mut self.definitions
    }
}

impl Has<Vec<Match>> for StreamBlock {
    fn part(&mut self) -> &mut Vec<Match> {
        &mut self.matches
    }
}

impl Has<ServerDraft> for StreamBlock {
    fn part(&mut self) -> &mut ServerDraft {
        &mut self.settings
    }
}
