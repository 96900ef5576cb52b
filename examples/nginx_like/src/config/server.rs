//! A `server` block of the `stream` block.

use std::sync::Arc;

use lb_proxy::server_names::ServerNames;

use super::handler::{Handler, HandlerDraft};
use super::health_check::HealthCheck;
use super::listen::Listen;
use super::server_name::ServerNamesDraft;
use super::server_settings::{ServerDraft, ServerSettings};
use super::set::Assignments;
use crate::syntax::directive::Args::AtLeast;
use crate::syntax::directive::{Block, Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::variables::definitions::Definitions;
use crate::variables::session::Assignment;

/// A `server` block with defaults and inheritance applied.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// At least one address. Of the servers of one address one is [the default](Listen::is_default).
    pub(crate) listens: Vec<Listen>,
    pub(crate) handler: Handler,
    /// The upstream that `proxy_pass` or the default of its map names, as an index into [`Stream::upstreams`]. `None` for
    /// all handlers but [`Handler::Upstream`].
    ///
    /// [`Stream::upstreams`]: super::stream::Stream::upstreams
    pub(crate) upstream: Option<usize>,
    /// The upstreams that a map has for server names, as indices. They count if `ssl_preread` reads the names.
    pub(crate) by_name: ServerNames<usize>,
    /// `set`, in the order of the text.
    pub(crate) assignments: Arc<[Assignment]>,
    pub(crate) settings: ServerSettings,
    pub(crate) span: Span,
}

/// A `server` block as written.
#[derive(Debug)]
pub(crate) struct ServerBlock {
    pub(crate) listens: Vec<Listen>,
    pub(crate) names: ServerNamesDraft,
    pub(crate) handler: HandlerDraft,
    /// What serves the connections was written, but could not be read.
    pub(crate) has_mistaken_handler: bool,
    pub(crate) assignments: Assignments,
    /// A `health_check` was written, but could not be read.
    pub(crate) has_mistaken_check: bool,
    /// `health_check`, in the order of the text.
    pub(crate) health_checks: Vec<HealthCheck>,
    pub(crate) settings: ServerDraft,
    pub(crate) span: Span,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("no \"listen\" is defined for server")]
    NoListen,
}

impl Block for ServerBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::HEALTH_CHECK,
        Directive::simple("listen", AtLeast(1), |server, statement, _| {
            server.listens.extend(Listen::read(statement)?);
            Ok(())
        }),
        Directive::PASS,
        Directive::PROXY_PASS,
        Directive::RETURN,
        Directive::SERVER_NAME,
        Directive::SET,
    ];
    const SHARED: &'static [&'static [Directive<Self>]] = Directive::SERVER_SETTINGS;
}

impl Has<Assignments> for ServerBlock {
    fn part(&mut self) -> &mut Assignments {
        &mut self.assignments
    }
}

impl Has<HandlerDraft> for ServerBlock {
    fn part(&mut self) -> &mut HandlerDraft {
        &mut self.handler
    }
}

impl Has<Vec<HealthCheck>> for ServerBlock {
    fn part(&mut self) -> &mut Vec<HealthCheck> {
        &mut self.health_checks
    }
}

impl Has<ServerNamesDraft> for ServerBlock {
    fn part(&mut self) -> &mut ServerNamesDraft {
        &mut self.names
    }
}

impl Has<ServerDraft> for ServerBlock {
    fn part(&mut self) -> &mut ServerDraft {
        &mut self.settings
    }
}

impl ServerBlock {
    /// Reads the block that `statement` opens and adds it to `servers`, and the variables that it defines to `definitions`.
    pub(crate) fn read(
        servers: &mut Vec<Self>,
        definitions: &mut Definitions,
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<(), ConfigError> {
        let before = reader.mistakes();
        let mut server = reader.read_block(Self {
            listens: Vec::new(),
            names: ServerNamesDraft::default(),
            handler: HandlerDraft::default(),
            has_mistaken_handler: false,
            has_mistaken_check: false,
            assignments: Assignments::default(),
            health_checks: Vec::new(),
            settings: ServerDraft::default(),
            span: statement.span.clone(),
        })?;
        server.has_mistaken_handler = ["pass", "proxy_pass", "return"]
            .iter()
            .any(|name| reader.has_mistaken(name, before));
        server.has_mistaken_check = reader.has_mistaken("health_check", before);
        let has_listen = !server.listens.is_empty() || reader.has_mistaken("listen", before);
        definitions.merge(std::mem::take(&mut server.assignments.definitions));
        definitions.merge(std::mem::take(&mut server.names.definitions));
        servers.push(server);
        if !has_listen {
            return Err(statement.error(ServerError::NoListen));
        }
        Ok(())
    }
}
