//! The server: a thread while there are connections, and HTTP on each.

mod accept;
mod connection;
mod header_wait;
mod running;
mod shared;
mod stop;
mod thread;

use std::sync::Arc;

#[cfg(feature = "metrics")]
use prometheus_client::registry::Registry;

use super::listener::AdminListener;
use super::program::{ConfigLine, LogLevels, NamedLevels, Program};
use super::routes::RouteContext;
use crate::Handle;
use crate::into_shared::IntoShared;

pub use accept::MAX_CONNECTIONS;
pub use running::AdminServer;

/// How many descriptors an admin server takes at most: its connections, its socket, and the runtime of its thread. To be
/// added to the [reserve](crate::ProxyBuilder::reserve_descriptors) of the proxy.
pub const DESCRIPTORS: u32 = MAX_CONNECTIONS as u32 + 8;

/// What an admin server answers from.
#[derive(Clone, Debug)]
pub struct Admin(Arc<RouteContext>);

impl Admin {
    /// Starts the description of what is answered about the server of `handle`.
    pub fn builder(handle: Handle) -> AdminBuilder {
        AdminBuilder {
            handle,
            program: Program::new("lb-proxy", env!("CARGO_PKG_VERSION")),
            #[cfg(feature = "metrics")]
            registry: None,
        }
    }

    /// Serves a listener until the result is dropped. Spawns a task on the current runtime, which waits for clients; all
    /// else runs on a thread of its own.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn serve(&self, listener: AdminListener) -> AdminServer {
        AdminServer::start(Arc::clone(&self.0), listener)
    }
}

/// Describes an [`Admin`].
#[derive(Debug)]
#[must_use]
pub struct AdminBuilder {
    handle: Handle,
    program: Program,
    #[cfg(feature = "metrics")]
    registry: Option<Registry>,
}

impl AdminBuilder {
    /// Sets the name and the version of the program, as the status shows them. Default: those of this crate.
    pub fn program(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.program.name = name.into();
        self.program.version = version.into();
        self
    }

    /// Sets what returns the lines of the configuration that runs. It is called on the admin server's thread. If it panics, the request
    /// is answered with 500. Default: none, so that `/config` is not found.
    pub fn config(mut self, config: impl Fn() -> Vec<ConfigLine> + Send + Sync + 'static) -> Self {
        self.program.config = Some(Arc::new(config));
        self
    }

    /// Sets what reads and sets the level of the log. Default: none, so that `/log_level` is not found.
    pub fn log_levels(mut self, levels: impl IntoShared<dyn LogLevels>) -> Self {
        self.program.log_levels = Some(NamedLevels(levels.into_shared()));
        self
    }

    /// Sets what `/metrics` shows. If a collector in it panics, the request is answered with 500. Default: the metrics of the server, by a
    /// [`ServerCollector`](crate::openmetrics::ServerCollector).
    #[cfg(feature = "metrics")]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// The admin, which serves nothing yet.
    pub fn build(self) -> Admin {
        #[cfg(feature = "metrics")]
        let registry = self.registry.unwrap_or_else(|| {
            let mut registry = Registry::default();
            let collector = crate::openmetrics::ServerCollector::new(self.handle.clone());
            registry.register_collector(Box::new(collector));
            registry
        });
        Admin(Arc::new(RouteContext::new(
            self.handle,
            self.program,
            #[cfg(feature = "metrics")]
            registry,
        )))
    }
}
