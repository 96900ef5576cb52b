//! The content of `/etc/resolv.conf` (resolv.conf(5)).

use std::net::{SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use resolv_conf::{Config, ParseError, ScopedIp};

/// The port of name servers.
const PORT: u16 = 53;

/// The maximum values of glibc, which replaces larger ones by these.
const MAX_NDOTS: u32 = 15;
const MAX_TIMEOUT: u32 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// A parsed file.
#[derive(Clone, Debug)]
pub(crate) struct ResolvConf {
    /// The name servers. Without any in the file: the local machine.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) search: Vec<Name>,
    pub(crate) ndots: usize,
    pub(crate) timeout: Duration,
    pub(crate) attempts: usize,
    /// Whether the file names servers, but none that can be used.
    pub(crate) is_broken: bool,
    /// The skipped parts. The system's resolver skips them, too.
    pub(crate) problems: Vec<String>,
}

impl ResolvConf {
    /// Parses a file's `text`. Skips invalid parts.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let (read, errors) = Config::parse_with_errors(text);
        let mut problems: Vec<String> = errors.iter().map(problem).collect();
        let servers = servers(&read.nameservers, &mut problems);
        let search = search(&read, &mut problems);
        let names_a_server = |line: &[u8]| line.trim_ascii_start().starts_with(b"nameserver");
        let is_broken = servers.is_empty() && text.split(|byte| *byte == b'\n').any(names_a_server);
        Self {
            servers: if servers.is_empty() {
                vec![SocketAddr::from(([127, 0, 0, 1], PORT))]
            } else {
                servers
            },
            search,
            ndots: read.ndots.min(MAX_NDOTS) as usize,
            // Zero would leave servers no time to answer.
            timeout: Duration::from_secs(read.timeout.clamp(1, MAX_TIMEOUT).into()),
            attempts: read.attempts.clamp(1, MAX_ATTEMPTS) as usize,
            is_broken,
            problems,
        }
    }

    /// The configuration that asks only `servers`.
    pub(crate) fn of(servers: &[SocketAddr]) -> Self {
        Self {
            servers: servers.to_vec(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(2),
            attempts: 2,
            is_broken: false,
            problems: Vec::new(),
        }
    }
}

fn servers(read: &[ScopedIp], problems: &mut Vec<String>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for ip in read {
        match ip {
            ScopedIp::V6(addr, Some(scope)) => match scope_id(&format!("{addr}%{scope}")) {
                Some(id) => servers.push(SocketAddrV6::new(*addr, PORT, 0, id).into()),
                None => problems.push(format!("name server {ip} has an unknown interface")),
            },
            ScopedIp::V6(addr, None) => servers.push((*addr, PORT).into()),
            ScopedIp::V4(addr) => servers.push((*addr, PORT).into()),
        }
    }
    servers
}

/// The index of the interface in an address such as `fe80::1%eth0`. The C library resolves it, without asking a server.
fn scope_id(scoped: &str) -> Option<u32> {
    let addrs = (scoped, PORT).to_socket_addrs().ok()?;
    addrs.into_iter().find_map(|addr| match addr {
        SocketAddr::V6(addr) => Some(addr.scope_id()),
        SocketAddr::V4(_) => None,
    })
}

/// The search domains: those of the last `search` or `domain` line, else the domain of the host name.
fn search(read: &Config, problems: &mut Vec<String>) -> Vec<Name> {
    let is_set = read.get_search().is_some() || read.get_domain().is_some();
    let own = (!is_set).then(|| read.get_system_domain()).flatten();
    let mut domains = Vec::new();
    for domain in read.get_last_search_or_domain().chain(&own) {
        match Name::from_str_relaxed(domain) {
            Ok(name) => domains.push(name),
            Err(error) => problems.push(format!("search domain {domain:?} is no name: {error}")),
        }
    }
    domains
}

/// The problem of a line.
fn problem(error: &ParseError) -> String {
    // The library counts lines from 0.
    let at = |line: &usize, problem: &str| format!("line {}: {problem}", line + 1);
    match error {
        ParseError::InvalidUtf8(line, _) => at(line, "it is not UTF-8"),
        ParseError::InvalidValue(line) => at(line, "the value is missing or wrong"),
        ParseError::InvalidOptionValue(line) => at(line, "an option has a wrong value"),
        ParseError::InvalidOption(line) => at(line, "an option is not known"),
        ParseError::InvalidDirective(line) => at(line, "its first word is not known"),
        ParseError::InvalidIp(line, error) => at(line, &format!("no IP address: {error}")),
        ParseError::ExtraData(line) => at(line, "there is more on it than belongs there"),
    }
}

#[cfg(test)]
mod tests;
