//! A dry run of a connection: the steps up to the choice of the upstream, without a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{Endpoint, Escaped};
use tokio::runtime;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::pass::{MAX_PASSES, TOO_OFTEN};
use crate::client_hello::host::host;
use crate::client_hello::minimal::minimal_hello;
use crate::connection::Connection;
use crate::embedder_code::{catch_future, named};
use crate::preread::{PrereadContext, PrereadStatus};
use crate::state::listener::ListenerState;
use crate::state::route_action::RouteAction;
use crate::state::virtual_servers::ChosenBy;
use crate::upstream::Upstream;

/// How long a route may wait, for example for a look-up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that is asked about.
#[derive(Clone, Debug)]
pub(crate) struct RouteQuestion {
    /// The client as a PROXY header would name it, if the listener reads one.
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The server name in the client's TLS. `None` if it does not speak TLS.
    pub(crate) server_name: Option<Box<[u8]>>,
}

/// What decided, and where.
#[derive(Clone, Debug)]
pub(crate) struct RouteStep {
    pub(crate) listener: Endpoint,
    /// The [label](crate::Listener::label) of the listener or of its virtual server.
    pub(crate) label: Option<Arc<str>>,
    pub(crate) by: DecidedBy,
    pub(crate) detail: String,
}

/// What decides where a session goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DecidedBy {
    Access,
    DefaultServer,
    DefaultUpstream,
    MatchFunction,
    Preread,
    RouteFunction,
    ServerName,
    ServerNames,
}

impl DecidedBy {
    /// Its name in answers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::DefaultServer => "default_server",
            Self::DefaultUpstream => "default_upstream",
            Self::MatchFunction => "match_function",
            Self::Preread => "preread",
            Self::RouteFunction => "route_function",
            Self::ServerName => "server_name",
            Self::ServerNames => "server_names",
        }
    }
}

/// Where a connection would go.
#[derive(Debug)]
pub(crate) enum Destination {
    Upstream(Upstream),
    /// The client is refused, for this reason.
    Refused(String),
    /// The client gets so many bytes and the end.
    Answered(usize),
}

/// The steps that a session would take: access rules, prereads, virtual server, route, and other listeners that it is passed
/// to. It acquires no limit, and calls no hook. A route that looks a name up does so.
///
/// Of the prereads, those that name the client are left out, and the others get a ClientHello with the server name, if
/// there is one.
#[derive(Debug)]
pub(crate) struct DryRun {
    pub(crate) steps: Vec<RouteStep>,
    pub(crate) destination: Destination,
    /// The connection as hash keys would see it.
    pub(crate) connection: Connection,
    listener: Arc<ListenerState>,
    /// What the route chose so far, if not the default.
    chosen: Option<Upstream>,
    hello: Option<Vec<u8>>,
}

impl DryRun {
    /// `find` returns the listener on an address. Routes that wait run on `runtime`.
    pub(crate) async fn of(
        question: RouteQuestion,
        listener: Arc<ListenerState>,
        find: impl Fn(SocketAddr) -> Option<Arc<ListenerState>>,
        runtime: &runtime::Handle,
    ) -> Self {
        let mut connection = Connection::new(question.client, question.local);
        connection.is_dry_run = true;
        let name = question.server_name.as_deref();
        let mut run = Self {
            steps: Vec::new(),
            destination: Destination::Refused(TOO_OFTEN.to_owned()),
            connection,
            listener,
            chosen: None,
            hello: name.and_then(minimal_hello),
        };
        for _ in 0..=MAX_PASSES {
            let next = run.visit(name, runtime).await;
            let Err(addr) = next.map(|destination| run.destination = destination) else {
                return run;
            };
            let Some(listener) = find(addr) else {
                run.destination = Destination::Refused(format!("no listener on {addr}"));
                return run;
            };
            (run.connection.local, run.chosen) = (addr, None);
            run.listener = listener;
        }
        run
    }

    /// The steps of one listener. `Err` is the address of the next one.
    async fn visit(
        &mut self,
        name: Option<&[u8]>,
        runtime: &runtime::Handle,
    ) -> Result<Destination, SocketAddr> {
        let listener = Arc::clone(&self.listener);
        self.connection.listener = listener.addr;
        self.connection.unix.clone_from(&listener.route.unix);
        let factory = listener.route.session_data.as_ref();
        self.connection.data = factory.map(|factory| factory.create(&self.connection));
        let access = listener.route.access.as_ref();
        if access.is_some_and(|access| !access.admits_client(self.connection.client)) {
            let detail = "the access rules deny the client";
            self.note(DecidedBy::Access, detail);
            return Ok(Destination::Refused(detail.to_owned()));
        }
        if let Err(reason) = self.preread(name) {
            self.note(DecidedBy::Preread, reason.clone());
            return Ok(Destination::Refused(reason));
        }
        self.choose_server();
        self.route(runtime).await
    }

    fn note(&mut self, by: DecidedBy, detail: impl Into<String>) {
        self.steps.push(RouteStep {
            listener: self.listener.endpoint(),
            label: self.listener.route.label.clone(),
            by,
            detail: detail.into(),
        });
    }

    /// Lets the prereads read the ClientHello.
    fn preread(&mut self, name: Option<&[u8]>) -> Result<(), String> {
        let listener = Arc::clone(&self.listener);
        let route = &listener.route;
        let Some(name) = name else {
            return Ok(());
        };
        let mut prereads = route.prereads.iter();
        let mut prereads = prereads
            .by_ref()
            .filter(|preread| !named("Preread::names_client", || preread.names_client()))
            .peekable();
        if prereads.peek().is_none() {
            // A listener before may have read it.
            if self.connection.server_name_bytes().is_none() {
                let detail = "the listener reads no first bytes, so the server name is unknown";
                self.note(DecidedBy::Preread, detail);
            }
            return Ok(());
        }
        let Some(mut hello) = self.hello.take() else {
            return Err(format!("a server name of {} bytes is too long", name.len()));
        };
        let mut context = PrereadContext {
            connection: self.connection.clone(),
            upstream: None,
            server_names: route.server_names.as_deref(),
            is_kept: route.keeps_preread,
        };
        for preread in prereads {
            let refused = |reason: &str| format!("first bytes refused: {reason}");
            let read = named("Preread::read", || preread.read(&hello, &mut context));
            match read.map_err(|error| refused(&Escaped(&error.to_string()).to_string()))? {
                PrereadStatus::Done { consumed } => drop(hello.drain(..consumed.min(hello.len()))),
                PrereadStatus::More => {
                    return Err(refused("a ClientHello with this name is incomplete"));
                }
            }
        }
        self.hello = Some(hello);
        self.connection = context.connection;
        self.chosen = context.upstream;
        if self.chosen.is_some() {
            self.note(
                DecidedBy::ServerNames,
                "the first bytes choose the upstream",
            );
        }
        Ok(())
    }

    /// Goes on with the virtual server that the connection asks for.
    fn choose_server(&mut self) {
        let listener = Arc::clone(&self.listener);
        let name = self.connection.server_name_bytes();
        let connection = || self.connection.clone();
        let Some((server, by)) = listener.choose_virtual_server(name.and_then(host), connection)
        else {
            return;
        };
        if let Some(server) = server {
            let names = name.zip(server.route.server_names.as_ref());
            self.chosen = names.and_then(|(name, names)| names.find(name)).cloned();
            self.listener = Arc::clone(server);
        }
        let (by, detail) = match by {
            ChosenBy::Default => (DecidedBy::DefaultServer, "no server has such a name"),
            ChosenBy::Function => (DecidedBy::MatchFunction, "its function chooses the server"),
            ChosenBy::Name => (DecidedBy::ServerName, "the server name chooses the server"),
        };
        self.note(by, detail);
        if server.is_some() && self.chosen.is_some() {
            let detail = "the server name chooses the upstream";
            self.note(DecidedBy::ServerNames, detail);
        }
    }

    /// Does what the route function says, or else leaves the choice to the server names and the default.
    async fn route(&mut self, runtime: &runtime::Handle) -> Result<Destination, SocketAddr> {
        let function = self.listener.route.function.clone();
        let mut action = match &function {
            Some(function) => function.choose(&self.connection),
            None => RouteAction::Default,
        };
        while let RouteAction::Later(later) = action {
            let caught = catch_future(|| "RouteAction::Later", later);
            let task = AbortOnDropHandle::new(runtime.spawn(caught));
            action = match timeout(PATIENCE, task).await {
                Ok(Ok(Ok(action))) => action,
                Ok(Ok(Err(panicked))) => {
                    self.listener.trackers().note_panic(&panicked);
                    RouteAction::Refuse("the route's look-up panicked".into())
                }
                Ok(Err(_)) => RouteAction::Refuse("the runtime ended".into()),
                Err(_) => {
                    let waits = format!("the route waits for more than {} s", PATIENCE.as_secs());
                    RouteAction::Refuse(waits.into())
                }
            };
        }
        if let RouteAction::Split(split) = action {
            self.note(DecidedBy::RouteFunction, split.to_string());
            action = split.peek();
        }
        let (detail, destination) = match action {
            RouteAction::Default | RouteAction::Later(_) | RouteAction::Split(_) => {
                return Ok(self.default_upstream());
            }
            RouteAction::Pass(addr) => (format!("passes to the listener on {addr}"), Err(addr)),
            RouteAction::Refuse(reason) => {
                let reason = Escaped(&reason).to_string();
                (reason.clone(), Ok(Destination::Refused(reason)))
            }
            RouteAction::Respond(bytes) => {
                let detail = format!("answers with {} bytes", bytes.len());
                (detail, Ok(Destination::Answered(bytes.len())))
            }
            RouteAction::Upstream(upstream) => {
                let detail = format!("chooses the upstream \"{}\"", Escaped(upstream.name()));
                (detail, Ok(Destination::Upstream(upstream)))
            }
        };
        self.note(DecidedBy::RouteFunction, detail);
        destination
    }

    fn default_upstream(&mut self) -> Destination {
        Destination::Upstream(self.chosen.take().unwrap_or_else(|| {
            self.note(DecidedBy::DefaultUpstream, "the upstream of the server");
            self.listener.route.upstream.clone()
        }))
    }
}
