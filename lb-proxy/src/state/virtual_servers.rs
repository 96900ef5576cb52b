//! Virtual servers: settings of sessions by the name that the client asks for.

use std::fmt;
use std::sync::Arc;

use super::route::Route;
use crate::connection::Connection;
use crate::embedder_code::named;
use crate::error::BuildError;
use crate::server_names::{ServerNameError, ServerNames};
use crate::upstream::Upstream;

/// The virtual servers of a listener, chosen by the name that a client asks for in TLS (SNI) or by functions; see
/// [`Listener::virtual_servers`](crate::Listener::virtual_servers).
///
/// A session chooses its server after the prereads of the listener, which read the name. A name decides first, with the
/// patterns and the precedence of [`ServerNames`] if it is a host ([`Connection::server_name`]), then the first function
/// that returns true. All other connections stay
/// with the listener, the default server. Access rules, limits, the prereads and the options of sockets to clients are
/// those of the listener, because they apply before. [`Hooks::accept`](crate::Hooks::accept) is called of the listener's
/// hooks, everything else of the chosen server's. The upstream that a preread has chosen serves the default server
/// alone.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::client_hello::ClientHelloReader;
/// use lb_proxy::routing::{VirtualServer, VirtualServers};
/// use lb_proxy::{Listener, Timeouts, Upstream};
///
/// # #[allow(dead_code)]
/// # fn example(web: &Upstream, mail: &Upstream) -> Result<Listener, Box<dyn std::error::Error>> {
/// let patient = Timeouts::default().idle(None);
/// let mail = VirtualServer::new(mail).name("mail.example.com").timeouts(patient);
/// let servers = VirtualServers::new().server(mail);
/// let listener = Listener::new("[::]:443".parse()?, web);
/// Ok(listener.preread(Arc::new(ClientHelloReader::new())).virtual_servers(servers))
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct VirtualServers {
    pub(super) selector: ServerSelector,
    pub(super) servers: Vec<Route>,
    /// The first name that cannot be looked up.
    error: Option<ServerNameError>,
}

/// The settings of the sessions of a virtual server, and which connections it serves.
#[derive(Clone, Debug)]
#[must_use]
pub struct VirtualServer {
    pub(crate) route: Route,
    patterns: Vec<Box<str>>,
    functions: Vec<MatchFunction>,
}

impl VirtualServer {
    /// A virtual server that sends connections to `upstream`, everything else at its default. It serves no connection yet.
    pub fn new(upstream: &Upstream) -> Self {
        Self {
            route: Route::new(upstream.clone()),
            patterns: Vec::new(),
            functions: Vec::new(),
        }
    }

    /// Adds a name or a wildcard whose connections it serves. [`ServerNames::insert`] documents patterns. One that is
    /// malformed, or that decides what another one of the listener decides, fails the building of the proxy.
    #[doc(alias = "server_name")]
    pub fn name(mut self, pattern: impl Into<Box<str>>) -> Self {
        self.patterns.push(pattern.into());
        self
    }

    /// Adds a function: it serves the connections for which `matches` returns true, unless their name or an earlier function
    /// has chosen a server. Functions run in the order of the servers, on the session's task, so they must not block.
    pub fn matching(
        mut self,
        matches: impl Fn(&Connection) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.functions.push(MatchFunction(Arc::new(matches)));
        self
    }
}

impl VirtualServers {
    /// No virtual servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server.
    pub fn server(mut self, server: VirtualServer) -> Self {
        let VirtualServer {
            route,
            patterns,
            functions,
        } = server;
        let number = Some(self.servers.len());
        for pattern in patterns {
            self.insert(&pattern, number);
        }
        let functions = functions.into_iter().map(|function| (function, number));
        self.selector.functions.extend(functions);
        self.servers.push(route);
        self
    }

    /// Adds a name or a wildcard whose connections stay with the listener, as [`VirtualServer::name`].
    pub fn default_name(mut self, pattern: &str) -> Self {
        self.insert(pattern, None);
        self
    }

    /// Adds a function, after those of the servers so far: connections for which `matches` returns true stay with the
    /// listener, as with [`VirtualServer::matching`].
    pub fn default_matching(
        mut self,
        matches: impl Fn(&Connection) -> bool + Send + Sync + 'static,
    ) -> Self {
        let function = MatchFunction(Arc::new(matches));
        self.selector.functions.push((function, None));
        self
    }

    /// Whether there is neither a server nor a function.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.selector.functions.is_empty()
    }

    fn insert(&mut self, pattern: &str, server: ServerNumber) {
        if let Err(error) = self.selector.names.insert(pattern, server) {
            self.error.get_or_insert(error);
        }
    }

    /// Checks its names. `of` names the listener.
    pub(crate) fn check(&self, of: impl FnOnce() -> String) -> Result<(), BuildError> {
        let Some(source) = self.error.clone() else {
            return Ok(());
        };
        let of = of().into();
        Err(BuildError::ServerName { of, source })
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.servers.iter()
    }
}

/// The index of a server, or none for the listener itself.
type ServerNumber = Option<usize>;

/// What chooses a virtual server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ChosenBy {
    /// Neither a name nor a function: it is the default server.
    Default,
    /// A [function](VirtualServer::matching).
    Function,
    /// A [name](VirtualServer::name).
    Name,
}

/// Chooses the virtual server of a connection.
#[derive(Debug, Default)]
pub(super) struct ServerSelector {
    names: ServerNames<ServerNumber>,
    functions: Vec<(MatchFunction, ServerNumber)>,
}

impl ServerSelector {
    /// The index of the server of a connection that asks for `name`, and what chose it. `None` is the default server.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        connection: impl FnOnce() -> Connection,
    ) -> (ServerNumber, ChosenBy) {
        if let Some(number) = name.and_then(|name| self.names.find(name)) {
            return (*number, ChosenBy::Name);
        }
        if self.functions.is_empty() {
            return (None, ChosenBy::Default);
        }
        let connection = connection();
        let mut functions = self.functions.iter();
        let matches = |function: &MatchFunction| {
            named("VirtualServer::matching", || (function.0)(&connection))
        };
        match functions.find(|(function, _)| matches(function)) {
            Some((_, number)) => (*number, ChosenBy::Function),
            None => (None, ChosenBy::Default),
        }
    }
}

#[derive(Clone)]
struct MatchFunction(Arc<MatchFn>);

type MatchFn = dyn Fn(&Connection) -> bool + Send + Sync;

impl fmt::Debug for MatchFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatchFunction").finish_non_exhaustive()
    }
}
