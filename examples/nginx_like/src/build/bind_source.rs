//! `proxy_bind`: the source address of connections to servers.

use std::sync::Arc;

use lb_proxy::settings::BindSource;

use crate::config::proxy::{BindAddress, ProxyBind, parse_source};
use crate::session_log::hooks::SessionLog;
use crate::variables::context::Context;
use crate::variables::table::Variables;

/// The source that `bind` describes. A value that is no address is an error in `log`.
pub(super) fn source(
    bind: Option<&ProxyBind>,
    variables: &Arc<Variables>,
    log: &Arc<SessionLog>,
) -> BindSource {
    let Some(bind) = bind else {
        return BindSource::any();
    };
    let source = match &bind.source {
        BindAddress::Fixed(addr) => BindSource::any().addr_and_port(*addr),
        BindAddress::Computed(value) => {
            let (value, variables) = (value.clone(), Arc::clone(variables));
            let log = Arc::clone(log);
            // As in nginx, the system chooses if the value is no address.
            BindSource::computed(move |connection| {
                let text = value
                    .get(&Context::new(&variables, connection))
                    .into_owned();
                let text = String::from_utf8_lossy(&text);
                let addr = parse_source(&text);
                if addr.is_none() && !text.is_empty() {
                    log.invalid_source(connection, &text);
                }
                addr
            })
        }
    };
    source.transparent(bind.transparent)
}
