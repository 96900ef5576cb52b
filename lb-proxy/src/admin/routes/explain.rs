//! `/explain`.

use std::net::{IpAddr, SocketAddr};

use lb_core::{ExplainedBackend, Explanation, Verdict};
use serde::Serialize;

use super::backends::upstream;
use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::{AdminAnswer, RequestError};
use crate::admin::query::{Parameters, invalid};
use crate::admin::status::{as_millis, verdict_name};
use crate::balancing::HashKey;
use crate::events::Connection;
use crate::{Handle, Upstream};

pub(super) const PARAMETERS: &[&str] = &["upstream", "client", "sni", "local"];

#[derive(Serialize)]
struct ExplainAnswer {
    upstream: String,
    policy: &'static str,
    /// The hash key in hexadecimal digits; absent without a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
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
    chosen: bool,
    priority: u8,
    weight: u16,
    in_flight: u32,
    tier_percent: u8,
    panic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_start_percent: Option<u8>,
}

pub(super) fn explain(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let parameters = &request.parameters;
    let upstream = upstream(&context.handle, parameters.required("upstream")?)?;
    let connection = connection(&context.handle, &upstream, parameters)?;
    let explained = match connection {
        Some(connection) => upstream.explain_connection(&connection),
        None => upstream.explain(&[]).map(|all| (all, HashKey::none())),
    };
    let (explanation, key) = explained.map_err(|error| RequestError {
        status: 503,
        text: format!("upstream \"{}\": {error}", upstream.name()),
    })?;
    let key = parameters.get("client").map(|_| hex(key.as_bytes()));
    Ok(AdminAnswer::json(
        200,
        &answer(&upstream, &explanation, key),
    ))
}

fn answer(upstream: &Upstream, explanation: &Explanation, key: Option<String>) -> ExplainAnswer {
    let chosen = explanation.chosen;
    let backends = explanation.backends.iter();
    let of = |explained: &ExplainedBackend| {
        let backend = &explained.backend;
        let ejected_ms = match explained.verdict {
            Verdict::Ejected { until } => Some(as_millis(until.saturating_since(upstream.now()))),
            _ => None,
        };
        Explained {
            endpoint: backend.endpoint().to_string(),
            name: backend.name.as_deref().map(str::to_owned),
            source: backend.source.as_deref().map(str::to_owned),
            verdict: verdict_name(explained.verdict),
            ejected_ms,
            chosen: chosen == Some(backend.addr),
            priority: backend.priority.get(),
            weight: backend.weight.get(),
            in_flight: explained.in_flight,
            tier_percent: explained.tier_percent,
            panic: explained.panic,
            slow_start_percent: explained.slow_start_percent,
        }
    };
    let backends: Vec<Explained> = backends.map(of).collect();
    ExplainAnswer {
        upstream: upstream.name().to_owned(),
        policy: upstream.policy_name(),
        key,
        queued: upstream.queued(),
        chosen: backends
            .iter()
            .find(|backend| backend.chosen)
            .map(|backend| backend.endpoint.clone()),
        backends,
    }
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
    let ip = || client.parse().map(|ip: IpAddr| (ip, 0).into());
    let client: SocketAddr = client
        .parse()
        .or_else(|_| ip())
        .map_err(|_| invalid("client", client, "an IP address, with or without a port"))?;
    let local = parameters.parse("local", "an IP address and a port")?;
    let connection = Connection::new(
        client,
        local.unwrap_or_else(|| listener_of(handle, upstream)),
    );
    Ok(Some(match parameters.get("sni") {
        Some(name) => connection.with_server_name(name.as_bytes()),
        None => connection,
    }))
}

/// The address of the first listener that names the upstream.
fn listener_of(handle: &Handle, upstream: &Upstream) -> SocketAddr {
    let listeners = handle.listeners().into_iter();
    let mut of = listeners.filter(|(_, named)| named.id() == upstream.id());
    let first = of.next().map(|(endpoint, _)| endpoint.key());
    first.unwrap_or_else(|| ([0, 0, 0, 0], 0).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
