//! Mistakes that stop nginx at its start, and stop nginx_like there or not at all. `-t` warns of them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::Endpoint;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, SocketAddrUnix, SocketType, bind, ipproto, socket, sockopt,
};

use super::logs::configured::syslogs_of;
use super::{missing_command, unwritable};
use crate::build::inherited::ClaimedSocket;
use crate::config::admin::{AdminAddress, AdminListen};
use crate::config::listen::Listen;
use crate::config::main::Config;
use crate::config::stream::Stream;
use crate::logs::syslog::SyslogServer;
use crate::syntax::address::Host;
use crate::syntax::error::Os;
use crate::syntax::span::Warning;

/// How many names are looked up at a time.
const LOOKUPS: usize = 16;

/// How long all lookups may take together. What has no answer by then is a warning as well.
const TIME: Duration = Duration::from_secs(10);

/// The warnings of a configuration. The sockets that it has `claimed` are open already.
pub(crate) fn of(config: &Config, claimed: &[ClaimedSocket]) -> Vec<Warning> {
    let streams = config.stream.iter();
    let unbound = streams.flat_map(|stream| unbound(stream, claimed));
    let unbound = unbound.chain(config.admin().and_then(unbound_admin));
    let unbound = unbound.chain(unwritable::warnings(config));
    let unbound = unbound.chain(missing_command::warning(config));
    unbound.chain(unresolved(config)).collect()
}

/// Listeners that cannot be bound. As in nginx, an address in use is fine: the server may run already.
fn unbound(stream: &Stream, claimed: &[ClaimedSocket]) -> impl Iterator<Item = Warning> {
    let listens = stream.servers.iter().flat_map(|server| &server.listens);
    let is_open = |listen: &&Listen| claimed.iter().any(|socket| socket.serves(listen.addr));
    let listens = listens.filter(move |listen| listen.has_socket && !is_open(listen));
    listens.filter_map(|listen| match try_bind(listen) {
        Ok(()) | Err(Errno::ADDRINUSE) => None,
        Err(errno) => Some(Warning::new(
            format!(
                "bind() to {} failed ({}): the server will not start",
                listen.endpoint(),
                Os(&io::Error::from(errno))
            ),
            listen.span.clone(),
        )),
    })
}

/// The same for `lb_admin`.
fn unbound_admin(admin: &AdminListen) -> Option<Warning> {
    let (endpoint, bound) = match &admin.address {
        AdminAddress::Tcp(addr) => (Endpoint::Tcp(*addr), try_bind_tcp(*addr, None, true)),
        AdminAddress::Unix(path) => (Endpoint::Unix(path.as_path().into()), try_bind_unix(path)),
    };
    let errno = bound.err().filter(|errno| *errno != Errno::ADDRINUSE)?;
    let text = format!(
        "\"lb_admin\": bind() to {endpoint} failed ({}): the server will not start",
        Os(&io::Error::from(errno))
    );
    Some(Warning::new(text, admin.span.clone()))
}

/// Binds a socket that does not listen.
fn try_bind(listen: &Listen) -> Result<(), Errno> {
    if let Some(path) = &listen.unix {
        return try_bind_unix(path);
    }
    let protocol = listen.multipath.then_some(ipproto::MPTCP);
    try_bind_tcp(listen.addr, protocol, listen.ipv6only)
}

fn try_bind_tcp(addr: SocketAddr, protocol: Option<Protocol>, ipv6only: bool) -> Result<(), Errno> {
    let family = match addr.is_ipv4() {
        true => AddressFamily::INET,
        false => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, protocol)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, ipv6only)?;
    }
    bind(&socket, &addr)
}

/// Binds a socket that does not listen, and removes its file, as nginx does.
fn try_bind_unix(path: &Path) -> Result<(), Errno> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let _ = std::fs::remove_file(path);
    Ok(())
}

/// Servers, also those of syslog, with a name that the system does not find. A server with `resolve` may have no address
/// for now.
fn unresolved(config: &Config) -> Vec<Warning> {
    let mut places: BTreeMap<String, Vec<Warning>> = BTreeMap::new();
    let upstreams = config.stream.iter().flat_map(|stream| &stream.upstreams);
    for server in upstreams.flat_map(|upstream| &upstream.servers) {
        if let Host::Name(name) = &server.host
            && !server.resolve
        {
            let text = format!(
                "host not found in upstream \"{name}:{}\": it gets no connections before it has an address, and nginx would \
                 not start",
                server.port
            );
            let warning = Warning::new(text, server.span.clone());
            places.entry(name.clone()).or_default().push(warning);
        }
    }
    for (syslog, span) in syslogs_of(config) {
        if let SyslogServer::Udp(name, _) = &syslog.server {
            let server = &syslog.server;
            let text =
                format!("host not found in syslog server \"{server}\": the server will not start");
            let warning = Warning::new(text, span.clone());
            let known = places.entry(name.clone()).or_default();
            // Servers inherit logs.
            if !known.contains(&warning) {
                known.push(warning);
            }
        }
    }
    for name in found(places.keys().cloned().collect()) {
        places.remove(&name);
    }
    places.into_values().flatten().collect()
}

/// Those of `names` that have an address.
fn found(names: VecDeque<String>) -> Vec<String> {
    let count = names.len();
    let names = Arc::new(Mutex::new(names));
    let (answers, answered) = mpsc::channel();
    for _ in 0..count.min(LOOKUPS) {
        let (names, answers) = (Arc::clone(&names), answers.clone());
        let looks_up = move || {
            while let Some(name) = next(&names) {
                let is_found = (&*name, 0).to_socket_addrs().is_ok();
                if answers.send((name, is_found)).is_err() {
                    return;
                }
            }
        };
        // Without a thread, the others do its work.
        let _ = thread::Builder::new()
            .name("lookup".to_owned())
            .spawn(looks_up);
    }
    drop(answers);
    let end = Instant::now() + TIME;
    let mut found = Vec::new();
    loop {
        match answered.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((name, true)) => found.push(name),
            Ok((_, false)) => {}
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return found,
        }
    }
}

fn next(names: &Mutex<VecDeque<String>>) -> Option<String> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names.pop_front()
}
