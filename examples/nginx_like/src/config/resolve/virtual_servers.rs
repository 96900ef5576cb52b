//! The servers of an address by the names of clients.

use std::collections::HashMap;
use std::net::SocketAddr;

use lb_core::Endpoint;
use lb_proxy::server_names::{ServerNameError, ServerNames};

use super::listens::JoinedAddress;
use crate::config::name_table::NameTable;
use crate::config::server::ServerBlock;
use crate::config::server_name::ServerName;
use crate::syntax::error::ConfigError;
use crate::syntax::span::Warning;

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
#[error("invalid server name or wildcard \"{name}\" on {addr}")]
struct InvalidName {
    name: String,
    addr: Endpoint,
}

/// The tables of the addresses with several servers, or with a regular expression that captures.
pub(crate) fn tables(
    servers: &[ServerBlock],
    addresses: &[JoinedAddress],
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> HashMap<SocketAddr, NameTable> {
    let captures = |name: &ServerName| matches!(name, ServerName::Regex(regex) if regex.captures());
    let mut tables = HashMap::new();
    for address in addresses {
        let is_needed = match &address.servers[..] {
            [alone] => servers[*alone].names.names.iter().any(captures),
            _ => true,
        };
        if is_needed {
            tables.insert(address.addr, table(servers, address, warnings, errors));
        }
    }
    tables
}

fn table(
    servers: &[ServerBlock],
    address: &JoinedAddress,
    warnings: &mut Vec<Warning>,
    errors: &mut Vec<ConfigError>,
) -> NameTable {
    let JoinedAddress {
        endpoint: addr,
        servers: numbers,
        ..
    } = address;
    let mut table = NameTable {
        default_server: numbers[0],
        servers: numbers[1..].to_vec(),
        ..NameTable::default()
    };
    let mut known = ServerNames::new();
    let mut is_empty_known = false;
    let mut in_order = numbers.clone();
    in_order.sort_unstable();
    let none = [ServerName::Pattern(String::new())];
    for number in in_order {
        let server = &servers[number];
        let names = match &server.names.names[..] {
            [] => &none,
            names => names,
        };
        for name in names {
            let pattern = match name {
                ServerName::Pattern(pattern) => pattern,
                ServerName::Regex(regex) => {
                    table.regexes.push((regex.clone(), number));
                    continue;
                }
            };
            let inserted = match pattern.as_str() {
                // No client asks for it.
                "" if std::mem::replace(&mut is_empty_known, true) => Err(true),
                "" => continue,
                pattern => known
                    .insert(pattern, ())
                    .map_err(|error| matches!(error, ServerNameError::Conflict { .. })),
            };
            match inserted {
                Ok(()) => table.patterns.push((pattern.clone(), number)),
                Err(true) => {
                    let text = format!("conflicting server name \"{pattern}\" on {addr}, ignored");
                    warnings.push(Warning::new(text, server.span.clone()));
                }
                Err(false) => {
                    let (name, addr) = (pattern.clone(), addr.clone());
                    errors.push(ConfigError::at(&server.span, InvalidName { name, addr }));
                }
            }
        }
    }
    table
}
