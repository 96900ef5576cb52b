//! A `server` block of the `stream` block.

use std::sync::Arc;

use lb_proxy::server_names::ServerNames;

use super::listen::Listen;
use super::proxy_pass::ProxyPass;
use super::server_settings::{ServerDraft, ServerSettings};
use super::set::Assignments;
use crate::syntax::directive::Args::{AtLeast, Exactly};
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
    /// At least one address, and none that another server has.
    pub(crate) listens: Vec<Listen>,
    /// The upstream that `proxy_pass` or the default of its map names, as an index into [`Stream::upstreams`].
    ///
    /// [`Stream::upstreams`]: super::stream::Stream::upstreams
    pub(crate) upstream: usize,
    /// The upstreams that a map has for server names, as indices. They count if `ssl_preread` reads the names.
    pub(crate) by_name: ServerNames<usize>,
    /// `set`, in the order of the text.
    pub(crate) assignments: Arc<[Assignment]>,
    pub(crate) settings: ServerSettings,
}

/// A `server` block as written.
#[derive(Debug)]
pub(crate) struct ServerBlock {
    pub(crate) listens: Vec<Listen>,
    pub(crate) proxy_pass: Option<ProxyPass>,
    /// What serves the connections was written, but could not be read.
    pub(crate) has_mistaken_handler: bool,
    pub(crate) assignments: Assignments,
    pub(crate) settings: ServerDraft,
    pub(crate) span: Span,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("no handler for server")]
    NoHandler,
    #[error("no \"listen\" is defined for server")]
    NoListen,
}

impl Block for ServerBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::simple("listen", AtLeast(1), |server, statement, _| {
            server.listens.extend(Listen::read(statement)?);
            Ok(())
        }),
        Directive::simple("proxy_pass", Exactly(1), |server, statement, _| {
            statement.once(&mut server.proxy_pass, ProxyPass::read)
        }),
        Directive::SET,
    ];
    const SHARED: &'static [&'static [Directive<Self>]] = Directive::SERVER_SETTINGS;
}

impl Has<Assignments> for ServerBlock {
    fn part(&mut self) -> &mut Assignments {
        &mut self.assignments
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
            proxy_pass: None,
            has_mistaken_handler: false,
            assignments: Assignments::default(),
            settings: ServerDraft::default(),
            span: statement.span.clone(),
        })?;
        server.has_mistaken_handler =
            reader.has_mistaken("pass", before) || reader.has_mistaken("return", before);
        let has_listen = !server.listens.is_empty() || reader.has_mistaken("listen", before);
        definitions.merge(std::mem::take(&mut server.assignments.definitions));
        servers.push(server);
        if !has_listen {
            return Err(statement.error(ServerError::NoListen));
        }
        Ok(())
    }
}
