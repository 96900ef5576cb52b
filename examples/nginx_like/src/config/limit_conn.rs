//! `limit_conn_zone` and `limit_conn`.

use std::num::{NonZeroU32, NonZeroUsize};

use crate::config::{ClientLimit, ClientZone};
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::{ConfigError, ErrorKind};
use crate::syntax::units;

/// nginx wants at least eight pages for a zone.
const MIN_ZONE: u64 = 8 * 4096;

/// What one client takes in a zone of nginx.
const STATE: u64 = 64;

/// nginx counts in 16 bits.
const MAX_SESSIONS: u64 = 65535;

impl<S: Scope + AsMut<Vec<ClientLimit>>> Directive<S> {
    pub(crate) const LIMIT_CONN: &'static [Self] =
        &[Self::simple("limit_conn", Exactly(2), |scope, line, _| {
            let limit = limit(line)?;
            let limits = scope.as_mut();
            if limits.iter().any(|other| other.zone == limit.zone) {
                let name = line.name().to_owned();
                return Err(line.error(ErrorKind::DuplicateDirective { name }));
            }
            limits.push(limit);
            Ok(())
        })];
}

fn limit(line: &Line) -> Result<ClientLimit, ConfigError> {
    let text = line.parameters().next().unwrap_or_default();
    let sessions = units::number(text).filter(|&number| number > 0);
    let sessions = sessions.ok_or_else(|| line.invalid("number of connections", text))?;
    if sessions > MAX_SESSIONS {
        return Err(line.error(ErrorKind::TooManyConnections));
    }
    Ok(ClientLimit {
        zone: line.arg().to_owned(),
        sessions: u32::try_from(sessions)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MAX),
        span: line.span.clone(),
    })
}

pub(crate) fn zone(line: &Line) -> Result<ClientZone, ConfigError> {
    match line.arg() {
        "$binary_remote_addr" | "$remote_addr" => {}
        key => return Err(line.not_supported_parameter(key)),
    }
    let parameter = line.parameters().next().unwrap_or_default();
    let invalid = || line.invalid("parameter", parameter);
    let zone = parameter.strip_prefix("zone=").ok_or_else(invalid)?;
    let invalid = || line.invalid("zone size", parameter);
    let (name, size) = zone.rsplit_once(':').ok_or_else(invalid)?;
    let size = units::size(size).ok_or_else(invalid)?;
    if size < MIN_ZONE {
        let zone = parameter.to_owned();
        return Err(line.error(ErrorKind::ZoneTooSmall { zone }));
    }
    let clients = usize::try_from(size / STATE)
        .ok()
        .and_then(NonZeroUsize::new);
    Ok(ClientZone {
        name: name.to_owned(),
        clients: clients.unwrap_or(NonZeroUsize::MAX),
        span: line.span.clone(),
    })
}
