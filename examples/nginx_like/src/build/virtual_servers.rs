//! The virtual servers of an address.

use std::collections::HashMap;
use std::sync::Arc;

use lb_proxy::routing::{ServerNumber, VirtualServer, VirtualServers};

use super::error::BuildError;
use crate::config::listen::Listen;
use crate::config::stream::Stream;
use crate::variables::context::Context;

/// The virtual servers of the address of `listen`, which is that of the default server. `describe` makes one of the server
/// with this index.
pub(super) fn virtual_servers(
    listen: &Listen,
    stream: &Stream,
    mut describe: impl FnMut(usize) -> Result<VirtualServer, BuildError>,
) -> Result<VirtualServers, BuildError> {
    let mut servers = VirtualServers::new();
    let Some(table) = stream.name_tables.get(&listen.addr) else {
        return Ok(servers);
    };
    let mut numbers = HashMap::with_capacity(table.servers.len());
    for &index in &table.servers {
        numbers.insert(index, servers.add(describe(index)?));
    }
    let number = |index: &usize| *numbers.get(index).unwrap_or(&ServerNumber::DEFAULT);
    for (pattern, index) in &table.patterns {
        // The table was checked: no pattern is invalid, or decides what another one decides.
        let _ = servers.name(pattern, number(index));
    }
    for (regex, index) in &table.regexes {
        let (regex, variables) = (regex.clone(), Arc::clone(&stream.variables));
        servers.matching(number(index), move |connection| {
            let Some(name) = connection.server_name() else {
                return false;
            };
            // As in nginx, in small letters and without the dot at the end.
            let name = name.strip_suffix('.').unwrap_or(name);
            let name = name.to_ascii_lowercase();
            regex.matches(name.as_bytes(), &Context::new(&variables, connection))
        });
    }
    Ok(servers)
}
