//! Resolves the `stream` block and its servers.

use super::listens;
use super::upstreams::Upstreams;
use crate::config::error_log::ErrorLog;
use crate::config::limit_conn::LimitConn;
use crate::config::map::{MapBlock, MapError};
use crate::config::server::{Server, ServerBlock, ServerError};
use crate::config::server_settings::ServerDraft;
use crate::config::stream::{Stream, StreamBlock};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Warning;

/// `main_logs` are the logs of the main level.
pub(crate) fn stream(
    block: StreamBlock,
    main_logs: &[ErrorLog],
    warnings: &mut Vec<Warning>,
) -> Result<Stream, ConfigError> {
    listens::check(&block.servers)?;
    let mut settings = block.settings;
    let mut upstreams =
        Upstreams::new(block.upstreams.blocks, &settings.name_resolution, warnings)?;
    if settings.error_logs.is_empty() {
        settings.error_logs = main_logs.to_vec();
    }
    if let Some(map) = block.maps.iter().find(|map| map.default.is_none()) {
        return Err(ConfigError::at(&map.span, MapError::NoDefault));
    }
    let mut servers = Vec::with_capacity(block.servers.len());
    for written in block.servers {
        let server = server(written, &settings, &block.maps, &mut upstreams, warnings)?;
        LimitConn::check_zones(&server.settings.limit_conn, &block.limit_conn_zones)?;
        servers.push(server);
    }
    Ok(Stream {
        upstreams: upstreams.into_all(),
        limit_conn_zones: block.limit_conn_zones,
        servers,
    })
}

fn server(
    block: ServerBlock,
    outer: &ServerDraft,
    maps: &[MapBlock],
    upstreams: &mut Upstreams,
    warnings: &mut Vec<Warning>,
) -> Result<Server, ConfigError> {
    let pass = block
        .proxy_pass
        .ok_or_else(|| ConfigError::at(&block.span, ServerError::NoHandler))?;
    let own_resolver = block.settings.name_resolution.resolver.clone();
    let names = block
        .settings
        .name_resolution
        .inherit(&outer.name_resolution);
    let (upstream, by_name) = upstreams.of(pass, &names, maps)?;
    if let Some(resolver) = own_resolver {
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
    Ok(Server {
        listens: block.listens,
        upstream,
        by_name,
        settings: block.settings.merge(outer),
    })
}
