//! Translates the handler of a `server` block into a route of lb-proxy.

use std::sync::Arc;

use lb_proxy::events::Connection;
use lb_proxy::routing::{RouteAction, VirtualServer};

use super::error::BuildError;
use super::host_cache::HostCache;
use super::resolvers::RunTimeResolvers;
use super::targets::Targets;
use crate::config::handler::{Handler, NO_HANDLER};
use crate::config::pass::{PassError, PassTo};
use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::variables::context::Context;
use crate::variables::table::Variables;
use crate::variables::value::Value;

/// Sets the route of a server whose handler needs one.
pub(super) fn routed(
    described: VirtualServer,
    server: &Server,
    stream: &Stream,
    targets: &Arc<Targets>,
    resolvers: &mut RunTimeResolvers,
) -> Result<VirtualServer, BuildError> {
    let variables = Arc::clone(&stream.variables);
    Ok(match &server.handler {
        Handler::Missing => described.route(|_| RouteAction::Refuse(NO_HANDLER.into())),
        Handler::Upstream => described,
        Handler::Pass(PassTo::Addr(addr)) => {
            let addr = *addr;
            described.route(move |_| RouteAction::Pass(addr))
        }
        Handler::Pass(PassTo::Value(value)) => {
            let value = value.clone();
            described.route(move |connection| pass(&value, &variables, connection))
        }
        Handler::Proxy(value, names) => {
            let (value, targets) = (value.clone(), Arc::clone(targets));
            let hosts: Option<Arc<HostCache>> = resolvers.of(names)?;
            described.route(move |connection| {
                let context = Context::new(&variables, connection);
                targets.route(&value.get(&context), hosts.as_ref())
            })
        }
        Handler::Return(value) => match value.literal() {
            Some(text) => {
                let text: Arc<[u8]> = text.as_bytes().into();
                described.route(move |_| RouteAction::Respond(Arc::clone(&text)))
            }
            None => {
                let value = value.clone();
                described.route(move |connection| {
                    let context = Context::new(&variables, connection);
                    RouteAction::Respond(value.get(&context).into())
                })
            }
        },
    })
}

/// The listener that a value names. A reason for a refusal is worded as in nginx.
fn pass(value: &Value, variables: &Variables, connection: &Connection) -> RouteAction {
    let context = Context::new(variables, connection);
    let bytes = value.get(&context);
    let text = String::from_utf8_lossy(&bytes);
    let reason = match PassTo::parse(&text) {
        Ok(addr) => return RouteAction::Pass(addr),
        Err(PassError::Address(reason)) => format!("{reason} in pass \"{text}\""),
        Err(PassError::NoAddress) => format!("no addresses in pass \"{text}\""),
        Err(PassError::NoPort) => format!("no port in pass \"{text}\""),
    };
    RouteAction::Refuse(format!("{reason} while passing connection to port").into())
}
