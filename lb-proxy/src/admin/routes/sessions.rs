//! `/sessions` and `/close`.

use std::net::SocketAddr;
use std::path::Path;

use lb_core::{Endpoint, Escaped};
use serde::Serialize;
use serde_json::json;
use tracing::field::display;
use tracing::info;

use super::backends::{targets, upstream};
use super::context::{Answered, RouteContext, RouteRequest};
use crate::Handle;
use crate::access::Network;
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::query::{Parameters, invalid};
use crate::admin::status::{as_micros, as_millis};
use crate::audit::AUDIT_TARGET;
use crate::net::unix::ShownClient;
use crate::operator_action::{ActionEffect, OperatorAction};
use crate::reports::{
    SessionFilter, SessionId, SessionOrder, SessionPhase, SessionReport, TcpInfo,
};

pub(super) const LIST: &[&str] = &[
    "id",
    "upstream",
    "backend",
    "listener",
    "client",
    "phase",
    "older_than",
    "more_bytes_than",
    "order",
    "limit",
    "tcp",
];
pub(super) const CLOSE: &[&str] = &["id", "backend", "upstream", "force"];

/// How many sessions are listed at most, and without a limit.
const MOST: usize = 10_000;
const USUAL: usize = 100;

#[derive(Serialize)]
struct SessionsAnswer {
    /// Whether the server tracks its sessions. Otherwise none are listed.
    tracked: bool,
    /// Sessions that meet the conditions, those above the limit included.
    matched: usize,
    sessions: Vec<ListedSession>,
}

#[derive(Serialize)]
struct ListedSession {
    id: u64,
    phase: &'static str,
    listener: String,
    client: String,
    upstream: Option<String>,
    backend: Option<String>,
    server_name: Option<String>,
    age_ms: u64,
    bytes_to_backend: u64,
    bytes_to_client: u64,
    /// What the kernel reports of the backend's socket, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<ListedTcp>,
}

#[derive(Serialize)]
struct ListedTcp {
    rtt_us: u64,
    rtt_variation_us: u64,
    congestion_window: u32,
    unacknowledged: u32,
    sent: u32,
    retransmitted: u32,
    timeouts: u8,
}

pub(super) fn list(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let handle = &context.handle;
    let with_tcp = request.parameters.flag("tcp")?;
    let list = handle.sessions(&filter(handle, &request.parameters)?);
    let listeners = handle.listeners();
    let sessions = list.sessions.iter();
    let answer = SessionsAnswer {
        tracked: handle.tracks_sessions(),
        matched: list.matched,
        sessions: sessions
            .map(|session| ListedSession::of(session, &listeners, with_tcp))
            .collect(),
    };
    Ok(AdminAnswer::json(200, &answer))
}

impl ListedSession {
    fn of(
        session: &SessionReport,
        listeners: &[(Endpoint, crate::Upstream)],
        with_tcp: bool,
    ) -> Self {
        let mut listeners = listeners.iter().map(|(endpoint, _)| endpoint);
        let listener = listeners.find(|endpoint| endpoint.key() == session.listener);
        let shown = |addr| ShownClient(addr).to_string();
        Self {
            id: session.id.get(),
            phase: session.phase.as_str(),
            listener: listener.map_or_else(|| shown(session.listener), Endpoint::to_string),
            client: shown(session.client),
            upstream: session.upstream.as_deref().map(str::to_owned),
            backend: session
                .backend_endpoint()
                .map(|backend| backend.to_string()),
            server_name: session.server_name().map(str::to_owned),
            age_ms: as_millis(session.age),
            bytes_to_backend: session.bytes_to_backend,
            bytes_to_client: session.bytes_to_client,
            tcp: with_tcp
                .then(|| session.backend_tcp().map(ListedTcp::from))
                .flatten(),
        }
    }
}

impl From<TcpInfo> for ListedTcp {
    fn from(info: TcpInfo) -> Self {
        Self {
            rtt_us: as_micros(info.rtt),
            rtt_variation_us: as_micros(info.rtt_variation),
            congestion_window: info.congestion_window,
            unacknowledged: info.unacknowledged,
            sent: info.sent,
            retransmitted: info.retransmitted,
            timeouts: info.timeouts,
        }
    }
}

/// The conditions that both requests have: `id`, `upstream` and `backend`.
fn place(handle: &Handle, parameters: &Parameters) -> Result<SessionFilter, RequestError> {
    let mut filter = SessionFilter::new();
    if let Some(id) = parameters.parse("id", "the number of a session")? {
        filter = filter.id(SessionId::new(id));
    }
    if let Some(name) = parameters.get("upstream") {
        filter = filter.upstream(upstream(handle, name)?.name());
    }
    if let Some(asked) = parameters.get("backend") {
        filter = filter.backend(backend(handle, parameters, asked)?);
    }
    Ok(filter)
}

/// The address of a backend that an upstream has, or of one that was removed but has live sessions.
fn backend(
    handle: &Handle,
    parameters: &Parameters,
    asked: &str,
) -> Result<SocketAddr, RequestError> {
    let known = targets(handle, parameters).map(|targets| targets[0].addr);
    known.or_else(|unknown| {
        let addr = match asked.strip_prefix("unix:") {
            Some(path) => Some(Endpoint::unix_key(Path::new(path))),
            None => asked.parse().ok(),
        };
        let has_sessions = |addr: &SocketAddr| {
            let of = SessionFilter::new().backend(*addr).limit(0);
            handle.sessions(&of).matched > 0
        };
        addr.filter(has_sessions).ok_or(unknown)
    })
}

fn filter(handle: &Handle, parameters: &Parameters) -> Result<SessionFilter, RequestError> {
    let mut filter = place(handle, parameters)?;
    if let Some(asked) = parameters.get("listener") {
        let listeners = handle.listeners().into_iter().map(|(endpoint, _)| endpoint);
        let mut listeners = listeners.filter(|endpoint| endpoint.to_string() == asked);
        let none =
            || RequestError::not_found(format!("there is no listener \"{}\"", Escaped(asked)));
        filter = filter.listener(listeners.next().ok_or_else(none)?.key());
    }
    if let Some(client) = parameters.parse::<Network>("client", "an address or a network")? {
        filter = filter.client(client);
    }
    if let Some(name) = parameters.get("phase") {
        let expected = "preread, queued, connecting, relaying, responding or closing";
        let phase = SessionPhase::from_name(name);
        filter = filter.phase(phase.ok_or_else(|| invalid("phase", name, expected))?);
    }
    if let Some(age) = parameters.duration("older_than")? {
        filter = filter.older_than(age);
    }
    if let Some(bytes) = parameters.parse("more_bytes_than", "a number of bytes")? {
        filter = filter.more_bytes_than(bytes);
    }
    let limit = parameters.parse("limit", "a number of sessions")?;
    Ok(filter
        .order(order(parameters)?)
        .limit(limit.unwrap_or(USUAL).min(MOST)))
}

fn order(parameters: &Parameters) -> Result<SessionOrder, RequestError> {
    let Some(name) = parameters.get("order") else {
        return Ok(SessionOrder::default());
    };
    let order = SessionOrder::from_name(name);
    order.ok_or_else(|| invalid("order", name, "oldest, youngest or most_bytes"))
}

pub(super) fn close(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let handle = &context.handle;
    let parameters = &request.parameters;
    let id = parameters.get("id");
    let session = parameters.parse("id", "the number of a session")?;
    if id.is_none() {
        parameters.required("backend")?;
    }
    let filter = place(handle, parameters)?;
    if !handle.tracks_sessions() {
        let text = "the server does not track its sessions, so it cannot close them";
        return Err(RequestError {
            status: 409,
            text: text.to_owned(),
        });
    }
    if let Some(id) = id
        && handle.sessions(&filter.clone().limit(0)).matched == 0
    {
        let text = format!("there is no such session {}", Escaped(id));
        return Err(RequestError::not_found(text));
    }
    let (reset, closing) = match parameters.flag("force")? {
        true => (handle.reset_sessions(&filter), 0),
        false => {
            // They deliver what was acknowledged, as after an earlier request.
            let closing = filter.clone().phase(SessionPhase::Closing).limit(0);
            (0, handle.sessions(&closing).matched)
        }
    };
    let closed = reset + handle.close_sessions(&filter);
    let [id, upstream, backend] = ["id", "upstream", "backend"]
        .map(|name| parameters.get(name).map(|value| display(Escaped(value))));
    info!(target: AUDIT_TARGET, id, upstream, backend, by = %Escaped(request.by), sessions = closed, reset, closing, "Sessions closed by an operator");
    let effect = ActionEffect::Closed {
        closed: closed as u64,
        reset: reset as u64,
        closing: closing as u64,
    };
    handle.operator_actions().add(OperatorAction {
        upstream: parameters.get("upstream").map(str::to_owned),
        backend: parameters.get("backend").map(str::to_owned),
        session,
        ..OperatorAction::now("close", request.by, effect)
    });
    Ok(AdminAnswer::json(
        200,
        &json!({ "closed": closed, "reset": reset, "closing": closing }),
    ))
}
