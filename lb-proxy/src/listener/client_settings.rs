//! The settings of a listener's clients, which apply before a session chooses a virtual server.

use std::time::Duration;

use super::description::Listener;
use crate::connection::Connection;
use crate::into_shared::IntoShared;
use crate::limits::client_limit::ClientLimit;
use crate::limits::{Access, ClientZone, Limits};
use crate::net::options::SocketOptions;
use crate::preread::Preread;
use crate::session_data::SessionDataFactory;
use crate::state::virtual_servers::VirtualServers;
use crate::upstream::key_part::{KeyPart, KeyParts};

/// Settings of its clients, before a virtual server is chosen.
impl Listener {
    /// Sets [`SocketOptions::nodelay`] for both sides.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.route.client_options.nodelay = nodelay;
        self.route.backend_options.nodelay = nodelay;
        self
    }

    /// Sets the options of connections from clients. They are set on the listening socket and inherited, which costs
    /// nothing for each connection. Default: [`SocketOptions::default`].
    pub fn client_options(mut self, options: SocketOptions) -> Self {
        self.route.client_options = options;
        self
    }

    /// Limits this listener's sessions, all workers together. Default: no limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets which clients are served. Default: all.
    pub fn access(mut self, access: Access) -> Self {
        self.route.access = Some(access);
        self
    }

    /// Counts clients in `zone` and lets each have at most `sessions` of those that the zone counts at a time, besides
    /// keeping to the zone's rate. May be called for several zones, all of which must agree. Default: no limit.
    /// [`ProxyBuilder::build`](crate::ProxyBuilder::build) refuses 0 sessions.
    #[doc(alias = "limit_conn")]
    pub fn limit_clients(mut self, zone: &ClientZone, sessions: u32) -> Self {
        self.route.limits.push(ClientLimit {
            zone: zone.clone(),
            key: None,
            sessions,
        });
        self
    }

    /// The same for clients that are known by the parts of a key, such as the port that they connected to, or what a function
    /// returns. Sessions with an empty key are not counted. The limits apply before first bytes are read, or right
    /// after the last reader of them that names the client, so a server name is empty unless its reader is in front of that
    /// one.
    pub fn limit_keys(
        mut self,
        zone: &ClientZone,
        key: impl IntoIterator<Item = KeyPart>,
        sessions: u32,
    ) -> Self {
        self.route.limits.push(ClientLimit {
            zone: zone.clone(),
            key: Some(KeyParts::new(key)),
            sessions,
        });
        self
    }

    /// Sets whether the limits of each client are checked before the [access rules](Self::access), as in nginx, so that a client
    /// that both refuse is refused for its limit. Default: no, so that a client without access costs no look-up in a zone and
    /// no token of its rate.
    pub fn limit_before_access(mut self, limit_first: bool) -> Self {
        self.route.limit_before_access = limit_first;
        self
    }

    /// Sets whether the limits of each client are only observed: a session over a limit is served and not counted, and
    /// [`Hooks::would_refuse`](crate::Hooks::would_refuse) is called. Default: no.
    #[doc(alias = "limit_conn_dry_run")]
    pub fn limit_dry_run(mut self, dry_run: bool) -> Self {
        self.route.limit_dry_run = dry_run;
        self
    }

    /// Sets how long sessions may go on after a reload has removed this listener. Those that are open then are cut as by a
    /// shutdown, with the reason [`Aborted`](crate::events::CloseReason::Aborted). Default: no limit. A session of a listener
    /// with a limit takes some 100 bytes more.
    pub fn removal_deadline(mut self, deadline: Option<Duration>) -> Self {
        self.route.removal_deadline = deadline;
        self
    }

    /// Sets a function that creates data of the embedder for each session, which hooks, routes and keys find in
    /// [`Connection::data`]. It runs once for each connection, before the first of them reads it, on the session's task, so
    /// it must not block. With hooks that observe all sessions, or a preread, that is right after the session has begun. All
    /// copies of the connection share the data, which is dropped with the session. For a connection that another listener has [passed on](crate::routing::RouteAction::Pass) the function finds the data of that listener in
    /// the connection. Default: none.
    pub fn session_data<T: Send + Sync + 'static>(
        mut self,
        create: impl Fn(&Connection) -> T + Send + Sync + 'static,
    ) -> Self {
        self.route.session_data = Some(SessionDataFactory::new(create));
        self
    }

    /// Adds a reader of the first bytes. The first is served first; what it leaves is the next one's.
    pub fn preread(mut self, preread: impl IntoShared<dyn Preread>) -> Self {
        self.route.prereads.push(preread.into_shared());
        self
    }

    /// Sets how long the bytes that a [preread](Self::preread) wants may take, where it has no time-out of its own.
    /// Default: 30 s, as nginx's `preread_timeout`.
    pub fn preread_timeout(mut self, timeout: Duration) -> Self {
        self.route.preread_timeout = timeout;
        self
    }

    /// Sets the virtual servers: settings of sessions for the names that clients ask for. A connection that asks for none
    /// of them has the settings of the listener, which is the default server. A listener without virtual servers pays
    /// one branch. Default: none.
    #[doc(alias = "server_name")]
    pub fn virtual_servers(mut self, servers: VirtualServers) -> Self {
        self.virtual_servers = servers;
        self
    }
}
