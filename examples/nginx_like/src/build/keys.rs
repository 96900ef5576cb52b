//! The key of `hash`, for each connection.

use lb_proxy::server_names::ServerNames;
use lb_proxy::{Connection, Hooks};

use crate::config::server::Server;
use crate::config::stream::Stream;
use crate::config::upstream::hash_key::HashKey;
use crate::config::upstream::method::Method;

/// Hands the key of `hash` to the policy.
#[derive(Debug)]
pub(super) struct Keys {
    default: Option<HashKey>,
    by_name: ServerNames<Option<HashKey>>,
}

impl Keys {
    /// `None` if no upstream of `server` has a key.
    pub(super) fn of(server: &Server, stream: &Stream) -> Option<Self> {
        let key = |upstream: usize| match &stream.upstreams[upstream].method {
            Method::Hash { key, .. } => Some(key.clone()),
            _ => None,
        };
        let keys = Self {
            default: key(server.upstream),
            by_name: server.by_name.clone().map(key),
        };
        let hashes = keys.default.is_some() || keys.by_name.values().any(Option::is_some);
        hashes.then_some(keys)
    }
}

impl Hooks for Keys {
    fn hash_key(&self, connection: &Connection) -> lb_proxy::HashKey {
        let name = connection.server_name();
        let by_name = name.and_then(|name| self.by_name.find(name));
        match by_name.unwrap_or(&self.default) {
            Some(key) => {
                lb_proxy::HashKey::from_bytes(&key.of(connection.client, connection.local))
            }
            None => lb_proxy::HashKey::none(),
        }
    }
}
