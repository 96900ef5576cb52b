//! Resolves the `stream` block and its servers.

use std::time::Duration;

use lb_proxy::server_names::ServerNames;

use super::access_logs;
use super::health_checks;
use super::listens;
use super::upstreams::{PassedTo, Upstreams};
use super::virtual_servers;
use crate::config::access_log::AccessLog;
use crate::config::error_log::ErrorLog;
use crate::config::handler::{Handler, NO_HANDLER, WrittenHandler};
use crate::config::limit_conn::LimitConn;
use crate::config::log_format::LogFormat;
use crate::config::match_block::Match;
use crate::config::server::{Server, ServerBlock};
use crate::config::server_settings::ServerDraft;
use crate::config::stream::{Stream, StreamBlock};
use crate::syntax::error::ConfigError;
use crate::syntax::names::Names;
use crate::syntax::span::Warning;
use crate::variables::definitions::Definitions;
use crate::variables::link::link;

/// The default of `lb_orphan_timeout`: longer than an address is away where keepalived only restarts.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);

/// `main_logs` are the logs of the main level. Errors of one block do not hide those of the next. If `knows_all` is false,
/// definitions are missing because of mistakes, and a reference to nothing is no error.
pub(crate) fn stream(
    mut block: StreamBlock,
    names: Names,
    main_logs: &[ErrorLog],
    knows_all: bool,
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> Stream {
    LogFormat::add_own(&mut block.log_formats);
    if let Some(admin) = &block.admin {
        let listens = block.servers.iter().flat_map(|server| &server.listens);
        errors.extend(admin.check_overlap(listens).err());
    }
    let addresses = listens::join(&mut block.servers, warnings, errors);
    let name_tables = virtual_servers::tables(&block.servers, &addresses, warnings, errors);
    let mut settings = block.settings;
    let resolution = &settings.name_resolution;
    let mut upstreams = Upstreams::new(block.upstreams.blocks, resolution, warnings, errors);
    if settings.error_logs.is_empty() {
        settings.error_logs = main_logs.to_vec();
    }
    health_checks::warn_of_unused(&block.matches, &block.servers, warnings);
    let mut servers = Vec::with_capacity(block.servers.len());
    for mut written in block.servers {
        let handler = written.handler.take();
        if handler.is_none() {
            if written.has_mistaken_handler {
                continue;
            }
            let text = format!("{NO_HANDLER}: its connections are closed with status 500");
            warnings.push(Warning::new(text, written.span.clone()));
        }
        let definitions = &block.definitions;
        let server = server(
            written,
            handler,
            &settings,
            definitions,
            &block.matches,
            &mut upstreams,
            warnings,
        );
        let checked = server.and_then(|server| {
            LimitConn::check_zones(&server.settings.limit_conn, &block.limit_conn_zones)?;
            AccessLog::check_formats(&server.settings.access_logs, &block.log_formats)?;
            Ok(server)
        });
        match checked {
            Ok(server) => servers.push(server),
            Err(error) if knows_all => errors.push(error),
            Err(_) => {}
        }
    }
    access_logs::share_buffers(&mut servers, errors);
    let variables = link(names, &block.definitions, knows_all, warnings, errors);
    Stream {
        variables: variables.into(),
        upstreams: upstreams.into_all(),
        admin: block.admin,
        orphan_timeout: block.orphan_timeout.unwrap_or(Some(ORPHAN_TIMEOUT)),
        limit_conn_zones: block.limit_conn_zones,
        log_formats: block.log_formats,
        servers,
        name_tables,
    }
}

fn server(
    block: ServerBlock,
    handler: Option<WrittenHandler>,
    outer: &ServerDraft,
    definitions: &Definitions,
    matches: &[Match],
    upstreams: &mut Upstreams,
    warnings: &mut Vec<Warning>,
) -> Result<Server, ConfigError> {
    let own_resolver = block.settings.name_resolution.resolver.clone();
    let names = block
        .settings
        .name_resolution
        .inherit(&outer.name_resolution);
    let mut by_name = ServerNames::new();
    let mut upstream = None;
    let handler = match handler {
        None => Handler::Missing,
        Some(WrittenHandler::Pass(to)) => Handler::Pass(to),
        Some(WrittenHandler::Return(value)) => Handler::Return(value),
        Some(WrittenHandler::ProxyPass(pass)) => match upstreams.of(pass, &names, definitions)? {
            PassedTo::Value(value) => Handler::Proxy(value, names),
            PassedTo::Upstreams(default, names) => {
                upstream = Some(default);
                by_name = names;
                Handler::Upstream
            }
        },
    };
    if let Some((resolver, upstream)) = own_resolver.zip(upstream) {
        let mut reached = by_name.values().chain([&upstream]);
        let uses = |index: &usize| upstreams.get(*index).resolver.as_ref() == Some(&resolver);
        if !reached.any(uses) {
            let name = &upstreams.get(upstream).name;
            warnings.push(Warning::new(
                format!("the resolver of this server has no effect on upstream \"{name}\""),
                resolver.span,
            ));
        }
    }
    let settings = block.settings.merge(outer);
    let checked = by_name.values().copied().chain(upstream);
    let checked: Vec<usize> = checked.collect();
    health_checks::add(block.health_checks, &settings, matches, &checked, upstreams)?;
    Ok(Server {
        listens: block.listens,
        handler,
        upstream,
        by_name,
        assignments: block.assignments.list.into(),
        settings,
        span: block.span,
    })
}
