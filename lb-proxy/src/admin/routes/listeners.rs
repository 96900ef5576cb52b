//! Finds the listener that a request names.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Escaped;

use crate::Handle;
use crate::admin::answer::RequestError;
use crate::state::listener::ListenerState;

/// How many listeners an error names.
const SHOWN: usize = 8;

/// A listener, and the address that a client of it connects to.
#[derive(Debug)]
pub(super) struct TargetListener {
    pub(super) state: Arc<ListenerState>,
    pub(super) local: SocketAddr,
}

/// The listener that `asked` means: what it listens on as the status shows it, an address that it accepts connections to, its
/// port if only one listener has it, or its label.
pub(super) fn listener(handle: &Handle, asked: &str) -> Result<TargetListener, RequestError> {
    let all = handle.listener_states();
    let addr: Option<SocketAddr> = asked.parse().ok();
    let is_exact = |state: &&Arc<ListenerState>| {
        addr == Some(state.addr) || state.endpoint().to_string() == asked
    };
    if let Some(state) = all.iter().find(is_exact) {
        let local = state.addr;
        return Ok(TargetListener::new(state, local));
    }
    if let Some(local) = addr {
        let covering = all.iter().find(|state| covers(state.addr, local));
        let target = covering.map(|state| TargetListener::new(state, local));
        return target.ok_or_else(|| unknown(asked, &all));
    }
    let port: Option<u16> = asked.parse().ok();
    let is_meant = |state: &&Arc<ListenerState>| match port {
        Some(port) => state.route.unix.is_none() && state.addr.port() == port,
        None => state.route.label.as_deref() == Some(asked),
    };
    let mut meant = all.iter().filter(is_meant);
    let first = meant.next().ok_or_else(|| unknown(asked, &all))?;
    match meant.next() {
        None => Ok(TargetListener::new(first, first.addr)),
        Some(other) => Err(RequestError {
            status: 409,
            text: format!(
                "several listeners are \"{}\", such as {} and {}: give the address",
                Escaped(asked),
                first.endpoint(),
                other.endpoint()
            ),
        }),
    }
}

impl TargetListener {
    fn new(state: &Arc<ListenerState>, local: SocketAddr) -> Self {
        Self {
            state: Arc::clone(state),
            local,
        }
    }
}

/// Whether `listening` is the wildcard address that accepts connections to `addr`.
fn covers(listening: SocketAddr, addr: SocketAddr) -> bool {
    let family = listening.is_ipv4() == addr.is_ipv4();
    listening.ip().is_unspecified() && family && listening.port() == addr.port()
}

fn unknown(asked: &str, all: &[Arc<ListenerState>]) -> RequestError {
    let shown = all.iter().take(SHOWN);
    let shown: Vec<String> = shown.map(|state| state.endpoint().to_string()).collect();
    let more = if all.len() > SHOWN { ", …" } else { "" };
    RequestError::not_found(format!(
        "there is no listener \"{}\", but {}{more}",
        Escaped(asked),
        shown.join(", ")
    ))
}
