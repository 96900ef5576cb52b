//! What happens to one object, and why.
//!
//! - `lines`: the text;
//! - `backends`: upstreams and their backends, for all kinds;
//! - `service`, `gateway`, `route`: the kinds;
//! - `problems`: those of all Gateways and routes, for the plan.

mod backends;
mod gateway;
mod lines;
mod problems;
mod route;
mod service;

pub use problems::problems;

use crate::config::Config;
use crate::controller::Look;
use crate::gateway::RouteKind;
use crate::objects::ObjectName;

/// A kind of objects that can be explained.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExplainedKind {
    /// A Gateway.
    Gateway,
    /// A ListenerSet.
    ListenerSet,
    /// A Service.
    Service,
    /// A TCPRoute.
    TcpRoute,
    /// A TLSRoute.
    TlsRoute,
}

/// Explains an object: whether it is served, with which addresses, listeners, routes and backends, and what is wrong. The machine is taken
/// to be able to listen.
///
/// # Errors
///
/// If there is no such object.
pub fn explain(
    look: &Look,
    config: &Config,
    kind: ExplainedKind,
    name: &ObjectName,
) -> Result<String, String> {
    let mut text = match kind {
        ExplainedKind::Service => service::service(look, config, name)?,
        ExplainedKind::Gateway => gateway::gateway(look, config, name)?,
        ExplainedKind::ListenerSet => gateway::listener_set(look, config, name)?,
        ExplainedKind::TcpRoute => route::route(look, config, RouteKind::Tcp, name)?,
        ExplainedKind::TlsRoute => route::route(look, config, RouteKind::Tls, name)?,
    };
    for cluster in look.about_clusters() {
        text.line(1, cluster);
    }
    for (kind, problem) in &look.unread {
        text.line(
            1,
            format_args!("problem: {kind} may not be read: {problem}"),
        );
    }
    Ok(text.into_text())
}
