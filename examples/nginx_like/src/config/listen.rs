//! `listen`.

use lb_proxy::Keepalive;

use crate::config::Listen;
use crate::syntax::directive::Line;
use crate::syntax::error::{ConfigError, ErrorKind};
use crate::syntax::{address, units};

/// The default of nginx on Linux.
const BACKLOG: u32 = 511;

pub(crate) fn parse(line: &Line) -> Result<Listen, ConfigError> {
    let addr = address::parse_listen(line.arg()).map_err(|reason| {
        let url = line.arg().to_owned();
        line.error(ErrorKind::ListenAddress { reason, url })
    })?;
    let mut listen = Listen {
        addr,
        backlog: BACKLOG,
        ipv6only: true,
        reuseport: false,
        proxy_protocol: false,
        so_keepalive: None,
        span: line.span.clone(),
    };
    for parameter in line.parameters() {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (parameter, None),
        };
        match (name, value) {
            ("backlog", Some(value)) => {
                listen.backlog =
                    backlog(value).ok_or_else(|| line.invalid("backlog", parameter))?;
            }
            // In nginx it gives the address a socket of its own. Here all addresses have one.
            ("bind", None) => {}
            ("ipv6only", Some("on")) => listen.ipv6only = true,
            ("ipv6only", Some("off")) => listen.ipv6only = false,
            ("ipv6only", Some(value)) if value.starts_with('o') => {
                return Err(line.invalid("ipv6only flags", value));
            }
            ("proxy_protocol", None) => listen.proxy_protocol = true,
            ("reuseport", None) => listen.reuseport = true,
            ("so_keepalive", Some("on")) => listen.so_keepalive = Some(Keepalive::default()),
            ("so_keepalive", Some("off")) => listen.so_keepalive = None,
            ("so_keepalive", Some(value)) => {
                let keepalive = keepalive(value);
                let keepalive =
                    keepalive.ok_or_else(|| line.invalid("so_keepalive value:", value))?;
                listen.so_keepalive = Some(keepalive);
            }
            _ if is_not_supported(name) => return Err(line.not_supported_parameter(parameter)),
            _ => {
                let parameter = parameter.to_owned();
                return Err(line.error(ErrorKind::InvalidListenParameter { parameter }));
            }
        }
    }
    Ok(listen)
}

fn is_not_supported(name: &str) -> bool {
    matches!(
        name,
        "accept_filter"
            | "default_server"
            | "deferred"
            | "fastopen"
            | "multipath"
            | "rcvbuf"
            | "setfib"
            | "sndbuf"
            | "ssl"
            | "udp"
    )
}

/// Reads a length that `listen(2)` can take.
fn backlog(text: &str) -> Option<u32> {
    let backlog = i32::try_from(units::number(text)?).ok()?;
    u32::try_from(backlog).ok().filter(|backlog| *backlog > 0)
}

/// Reads `IDLE:INTERVAL:COUNT`, each of which may be missing, but not all.
fn keepalive(text: &str) -> Option<Keepalive> {
    let parts: Vec<&str> = text.split(':').collect();
    let &[idle, interval, count] = parts.as_slice() else {
        return None;
    };
    let given = |part: &str| !part.is_empty();
    let time = |part| units::seconds(part).filter(|time| !time.is_zero());
    if !parts.iter().any(|part| given(part)) {
        return None;
    }
    let mut keepalive = Keepalive::default();
    if given(idle) {
        keepalive = keepalive.idle(Some(time(idle)?));
    }
    if given(interval) {
        keepalive = keepalive.interval(Some(time(interval)?));
    }
    if given(count) {
        let count = units::number(count).and_then(|count| u32::try_from(count).ok());
        keepalive = keepalive.count(Some(count.filter(|&count| count > 0)?));
    }
    Some(keepalive)
}
