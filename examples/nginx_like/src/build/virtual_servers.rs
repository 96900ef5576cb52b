//! The virtual servers of an address.

use std::sync::Arc;

use lb_proxy::events::Connection;
use lb_proxy::routing::{VirtualServer, VirtualServers};

use super::error::BuildError;
use crate::config::listen::Listen;
use crate::config::stream::Stream;
use crate::variables::context::Context;
use crate::variables::regex::Regex;

/// The virtual servers of the address of `listen`, which is that of the default server. `describe` makes one of the server
/// with this index.
pub(super) fn virtual_servers(
    listen: &Listen,
    stream: &Stream,
    mut describe: impl FnMut(usize) -> Result<VirtualServer, BuildError>,
) -> Result<VirtualServers, BuildError> {
    let Some(table) = stream.name_tables.get(&listen.addr) else {
        return Ok(VirtualServers::new());
    };
    let mut in_order = table.servers.clone();
    in_order.push(table.default_server);
    // In the order of the configuration, in which regular expressions are tried.
    in_order.sort_unstable();
    let mut servers = VirtualServers::new();
    for index in in_order {
        let patterns = named(&table.patterns, index).map(String::as_str);
        let regexes = named(&table.regexes, index).map(|regex| matches(regex, stream));
        servers = if index == table.default_server {
            let servers = patterns.fold(servers, VirtualServers::default_name);
            regexes.fold(servers, VirtualServers::default_matching)
        } else {
            let server = patterns.fold(describe(index)?, VirtualServer::name);
            servers.server(regexes.fold(server, VirtualServer::matching))
        };
    }
    Ok(servers)
}

/// The names of the server `index`. `names` are in the order of the servers.
fn named<T>(names: &[(T, usize)], index: usize) -> impl Iterator<Item = &T> {
    let begin = names.partition_point(|(_, server)| *server < index);
    let of_server = names[begin..].iter();
    let of_server = of_server.take_while(move |(_, server)| *server == index);
    of_server.map(|(name, _)| name)
}

/// Whether `regex` matches the name that a client asks for.
fn matches(
    regex: &Regex,
    stream: &Stream,
) -> impl Fn(&Connection) -> bool + Send + Sync + 'static + use<> {
    let (regex, variables) = (regex.clone(), Arc::clone(&stream.variables));
    move |connection| {
        let Some(name) = connection.server_name() else {
            return false;
        };
        // As in nginx, in small letters and without the dot at the end.
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = name.to_ascii_lowercase();
        regex.matches(name.as_bytes(), &Context::new(&variables, connection))
    }
}
