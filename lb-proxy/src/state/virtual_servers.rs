//! Virtual servers: settings of sessions by the name that the client asks for.

use std::fmt;
use std::sync::Arc;

use super::route::Route;
use crate::connection::Connection;
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
/// let mut servers = VirtualServers::new();
/// let number = servers.add(VirtualServer::new(mail).timeouts(patient));
/// servers.name("mail.example.com", number)?;
/// let listener = Listener::new("[::]:443".parse()?, web);
/// Ok(listener.preread(Arc::new(ClientHelloReader::new())).virtual_servers(servers))
/// # }
/// ```
#[derive(Debug, Default)]
pub struct VirtualServers {
    pub(super) selector: ServerSelector,
    pub(super) servers: Vec<VirtualServer>,
}

/// The settings of the sessions of a virtual server.
#[derive(Clone, Debug)]
#[must_use]
pub struct VirtualServer {
    pub(crate) route: Route,
}

impl VirtualServer {
    /// A virtual server that sends connections to `upstream`, everything else at its default.
    pub fn new(upstream: &Upstream) -> Self {
        Self {
            route: Route::new(upstream.clone()),
        }
    }
}

impl VirtualServers {
    /// No virtual servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a server, which no connection chooses yet. Returns its number.
    pub fn add(&mut self, server: VirtualServer) -> ServerNumber {
        self.servers.push(server);
        ServerNumber(Some(self.servers.len() - 1))
    }

    /// Lets the connections that ask for a name of `pattern` choose a server, or the listener itself for
    /// [`ServerNumber::DEFAULT`].
    ///
    /// # Errors
    ///
    /// Those of [`ServerNames::insert`]. The table stays as it was.
    pub fn name(&mut self, pattern: &str, server: ServerNumber) -> Result<(), ServerNameError> {
        self.selector.names.insert(pattern, server)
    }

    /// Lets the connections for which `matches` returns true choose a server, unless their name or an earlier function has
    /// chosen one. The function runs on the session's task, so it must not block.
    pub fn matching(
        &mut self,
        server: ServerNumber,
        matches: impl Fn(&Connection) -> bool + Send + Sync + 'static,
    ) {
        let function = MatchFunction(Arc::new(matches));
        self.selector.functions.push((function, server));
    }

    /// Whether there is neither a server nor a function.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.selector.functions.is_empty()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.servers.iter().map(|server| &server.route)
    }
}

/// A virtual server of one [`VirtualServers`], or the listener itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerNumber(Option<usize>);

impl ServerNumber {
    /// The listener itself, the default server.
    pub const DEFAULT: Self = Self(None);
}

/// Chooses the virtual server of a connection.
#[derive(Debug, Default)]
pub(super) struct ServerSelector {
    names: ServerNames<ServerNumber>,
    functions: Vec<(MatchFunction, ServerNumber)>,
}

impl ServerSelector {
    /// The index of the server of a connection that asks for `name`. `None` is the default server.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        connection: impl FnOnce() -> Connection,
    ) -> Option<usize> {
        if let Some(ServerNumber(number)) = name.and_then(|name| self.names.find(name)) {
            return *number;
        }
        if self.functions.is_empty() {
            return None;
        }
        let connection = connection();
        let mut functions = self.functions.iter();
        let (_, ServerNumber(number)) =
            functions.find(|(function, _)| (function.0)(&connection))?;
        *number
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
