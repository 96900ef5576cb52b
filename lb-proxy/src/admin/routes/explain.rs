//! `/explain`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use lb_core::policy::PolicyKind;
use lb_core::{ExplainedBackend, Explanation, Verdict};
use serde::Serialize;

use super::backends::upstream;
use super::context::{Answered, RouteContext, RouteRequest};
use super::listeners::{TargetListener, listener};
use super::route::LaterAnswer;
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::query::{Parameters, invalid};
use crate::admin::status::{CheckStateReport, as_millis};
use crate::balancing::HashKey;
use crate::events::Connection;
use crate::health::CheckState;
use crate::session::dry_run::{Destination, RouteQuestion, RouteStep};
use crate::{Handle, Upstream};

pub(super) const PARAMETERS: &[&str] = &["upstream", "listener", "client", "sni", "local"];

/// Where a connection to a listener goes.
#[derive(Serialize)]
struct RoutedAnswer {
    listener: String,
    /// What decided, in order.
    route: Vec<RouteStepAnswer>,
    /// `upstream`, `refuse` or `respond`.
    action: &'static str,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How many bytes the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    /// Absent unless it goes to an upstream.
    #[serde(flatten)]
    upstream: Option<ExplainAnswer>,
}

#[derive(Serialize)]
struct RouteStepAnswer {
    /// It differs from the first step's if the connection was passed on.
    listener: String,
    /// The label of the listener or its virtual server.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    by: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct ExplainAnswer {
    upstream: String,
    policy: &'static str,
    /// Whether the policy hashes a key. Without a client, a connection without a key is explained.
    uses_key: bool,
    /// The hash key in hexadecimal digits; absent without a client, and if the policy ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The hash key as text, if it is printable.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_text: Option<String>,
    /// Connections that wait. If there are some, a new connection waits behind them.
    queued: usize,
    /// The backend that a connection would get now. Policies that draw at random may pick another one the next time.
    chosen: Option<String>,
    backends: Vec<Explained>,
}

#[derive(Serialize)]
struct Explained {
    endpoint: String,
    name: Option<String>,
    source: Option<String>,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected_ms: Option<u64>,
    /// The checks that have not found it healthy, with their last result. Absent without such checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckStateReport>,
    chosen: bool,
    priority: u8,
    weight: u16,
    in_flight: u32,
    tier_percent: u8,
    panic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_start_percent: Option<u8>,
}

/// Explains the upstream that is asked for, or that a connection to the listener that is asked for gets.
pub(super) fn explain<'a>(
    context: &'a RouteContext,
    request: &'a RouteRequest<'a>,
) -> Result<LaterAnswer<'a>, RequestError> {
    let parameters = &request.parameters;
    if let Some(asked) = parameters.get("listener") {
        if parameters.get("upstream").is_some() {
            let text = "give \"upstream\" or \"listener\", not both";
            return Err(RequestError::bad(text));
        }
        let listener = listener(&context.handle, asked)?;
        // The route may look a name up.
        let answer = explain_route(&context.handle, listener, parameters);
        return Ok(LaterAnswer::Waits(Box::pin(answer)));
    }
    let upstream = upstream(&context.handle, parameters.required("upstream")?)?;
    let connection = connection(&context.handle, &upstream, parameters)?;
    let answer = explain_upstream(&upstream, connection.as_ref())?;
    Ok(LaterAnswer::Now(AdminAnswer::json(200, &answer)))
}

async fn explain_route(
    handle: &Handle,
    listener: TargetListener,
    parameters: &Parameters,
) -> Answered {
    let client = client(parameters.required("client")?)?;
    let name = parameters.get("sni");
    let question = RouteQuestion {
        client,
        local: local(parameters)?.unwrap_or(listener.local),
        server_name: name.map(|name| name.as_bytes().into()),
    };
    let endpoint = listener.state.endpoint().to_string();
    let run = handle.dry_run(question, listener.state).await;
    let mut answer = RoutedAnswer {
        listener: endpoint,
        route: run.steps.into_iter().map(RouteStepAnswer::of).collect(),
        action: "upstream",
        reason: None,
        bytes: None,
        upstream: None,
    };
    match run.destination {
        Destination::Upstream(upstream) => {
            answer.upstream = Some(explain_upstream(&upstream, Some(&run.connection))?);
        }
        Destination::Refused(reason) => {
            answer.action = "refuse";
            answer.reason = Some(reason);
        }
        Destination::Answered(bytes) => {
            answer.action = "respond";
            answer.bytes = Some(bytes);
        }
    }
    Ok(AdminAnswer::json(200, &answer))
}

impl RouteStepAnswer {
    fn of(step: RouteStep) -> Self {
        Self {
            listener: step.listener.to_string(),
            server: step.label.as_deref().map(str::to_owned),
            by: step.by.name(),
            detail: step.detail,
        }
    }
}

fn explain_upstream(
    upstream: &Upstream,
    connection: Option<&Connection>,
) -> Result<ExplainAnswer, RequestError> {
    let explained = match connection {
        Some(connection) => upstream.explain_connection(connection),
        None => upstream.explain(&[]).map(|all| (all, HashKey::none())),
    };
    let (explanation, key) = explained.map_err(|error| RequestError {
        status: 503,
        text: format!("upstream \"{}\": {error}", upstream.name()),
    })?;
    // A policy of the embedder may use the key.
    let kind = upstream.policy_name().parse::<PolicyKind>();
    let uses_key = kind.map_or(true, PolicyKind::uses_key);
    let key = connection.filter(|_| uses_key).map(|_| key);
    Ok(answer(upstream, &explanation, uses_key, key.as_ref()))
}

fn answer(
    upstream: &Upstream,
    explanation: &Explanation,
    uses_key: bool,
    key: Option<&HashKey>,
) -> ExplainAnswer {
    let mut checks = failing_checks(upstream);
    let chosen = explanation.chosen;
    let backends = explanation.backends.iter();
    let mut of = |explained: &ExplainedBackend| {
        let backend = &explained.backend;
        let ejected_ms = match explained.verdict {
            Verdict::Ejected { until } => Some(as_millis(until.saturating_since(upstream.now()))),
            _ => None,
        };
        Explained {
            endpoint: backend.endpoint().to_string(),
            name: backend.name.as_deref().map(str::to_owned),
            source: backend.source.as_deref().map(str::to_owned),
            verdict: explained.verdict.as_str(),
            ejected_ms,
            checks: checks.remove(&backend.addr).unwrap_or_default(),
            chosen: chosen == Some(backend.addr),
            priority: backend.priority.get(),
            weight: backend.weight.get(),
            in_flight: explained.in_flight,
            tier_percent: explained.tier_percent,
            panic: explained.panic,
            slow_start_percent: explained.slow_start_percent,
        }
    };
    let backends: Vec<Explained> = backends.map(&mut of).collect();
    ExplainAnswer {
        upstream: upstream.name().to_owned(),
        policy: upstream.policy_name(),
        uses_key,
        key: key.map(|key| hex(key.as_bytes())),
        key_text: key.and_then(|key| printable(key.as_bytes())),
        queued: upstream.queued(),
        chosen: backends
            .iter()
            .find(|backend| backend.chosen)
            .map(|backend| backend.endpoint.clone()),
        backends,
    }
}

/// The checks of each backend that have not found it healthy.
fn failing_checks(upstream: &Upstream) -> HashMap<SocketAddr, Vec<CheckStateReport>> {
    let mut checks: HashMap<SocketAddr, Vec<CheckStateReport>> = HashMap::new();
    for check in upstream.health_checks() {
        let report = CheckStateReport::of(&check, upstream.now());
        if report.state != CheckState::Up.as_str() {
            checks.entry(check.backend.addr).or_default().push(report);
        }
    }
    checks
}

/// The connection that the parameters describe. `None` without a client.
fn connection(
    handle: &Handle,
    upstream: &Upstream,
    parameters: &Parameters,
) -> Result<Option<Connection>, RequestError> {
    let Some(client) = parameters.get("client") else {
        return match parameters.get("sni").or_else(|| parameters.get("local")) {
            Some(_) => Err(RequestError::bad("give \"client\" as well")),
            None => Ok(None),
        };
    };
    let client = self::client(client)?;
    let local = local(parameters)?;
    let connection = Connection::new(
        client,
        local.unwrap_or_else(|| listener_of(handle, upstream)),
    );
    Ok(Some(match parameters.get("sni") {
        Some(name) => connection.with_server_name(name.as_bytes()),
        None => connection,
    }))
}

fn client(text: &str) -> Result<SocketAddr, RequestError> {
    let ip = || text.parse().map(|ip: IpAddr| (ip, 0).into());
    let parsed = text.parse().or_else(|_| ip());
    parsed.map_err(|_| invalid("client", text, "an IP address, with or without a port"))
}

/// The address that the client connects to.
fn local(parameters: &Parameters) -> Result<Option<SocketAddr>, RequestError> {
    parameters.parse("local", "an IP address and a port")
}

/// The address of the first listener that names the upstream.
fn listener_of(handle: &Handle, upstream: &Upstream) -> SocketAddr {
    let listeners = handle.listeners().into_iter();
    let mut of = listeners.filter(|(_, named)| named.id() == upstream.id());
    let first = of.next().map(|(endpoint, _)| endpoint.key());
    first.unwrap_or_else(|| ([0, 0, 0, 0], 0).into())
}

/// The text of a key that has one.
fn printable(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let is_printable = !text.is_empty() && text.chars().all(|c| !c.is_control());
    is_printable.then(|| text.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
