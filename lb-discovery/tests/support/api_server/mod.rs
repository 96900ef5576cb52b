//! A Kubernetes API server that lists and watches, and misbehaves as told.
//!
//! Over real HTTP: lists in pages with continue tokens, label and field selectors, watches with bookmarks and time-outs,
//! 410 for versions that were compacted away, bearer tokens, RBAC by resource. A watch from a version that is not
//! reached yet is accepted and brings nothing until then, not even bookmarks, as the real server does it; so it goes on
//! after a [backup](ApiServer::backup) was restored.

#![allow(dead_code)] // every test uses its own part

mod answer;
mod store;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use self::answer::answer;
pub(crate) use self::store::Backup;

use self::store::Store;

/// What is wrong with the server. Open watches are closed when it changes, except by `Frozen`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Bookmarks have no version, and come at once.
    BareBookmarks,
    /// The next event of a watch is cut in the middle, with the connection. Once.
    CutWatch,
    /// Lists are nested very deeply.
    DeepLists,
    /// Lists have no objects, as of a version that starts over.
    EmptyLists,
    /// Everything is answered with 500 and a text that never ends.
    EndlessComplaint,
    /// A list never ends.
    EndlessList,
    /// Every page of a list is the first one, and says that there are more.
    EndlessPages,
    /// Watches end as soon as they are open.
    EndWatches,
    /// Nothing is sent any more, also on what is open.
    Frozen,
    /// Answers are no JSON.
    Garbage,
    /// The events of a watch are no JSON.
    GarbageEvents,
    /// The events of a watch are a text of a megabyte where an object belongs.
    LongEvents,
    /// A watch is a text of a megabyte on one line.
    LongLine,
    /// Watches are refused with 410.
    Gone,
    /// Watches begin with an ERROR event of code 410.
    GoneEvent,
    /// Everything is answered with a redirection to the login of a proxy.
    Redirected,
    /// A list comes one byte a second.
    Slow,
    /// Everything is answered with this status.
    Status(u16),
    /// Everything is answered with this status and these seconds as `Retry-After`.
    Throttled(u16, u32),
}

pub(crate) struct ApiServer {
    addr: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    running: Option<JoinHandle<()>>,
    /// Holds the port while the server is down, without listening.
    _reserved: Socket,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Counts whatever open watches want to know.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    store: Store,
    fault: Fault,
    faults: u64,
    restores: u64,
    restored_at: u64,
    token: Option<String>,
    forbidden: BTreeSet<String>,
    bookmark_every: Option<Duration>,
    requests: Vec<Request>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) token: Option<String>,
}

impl Request {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        Self::with_tls(None).await
    }

    pub(crate) async fn with_tls(tls: Option<TlsAcceptor>) -> Self {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        reserved.set_reuse_address(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        reserved.bind(&any.into()).unwrap();
        let addr = reserved.local_addr().unwrap().as_socket().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let mut server = Self {
            addr,
            scheme: if tls.is_some() { "https" } else { "http" },
            shared,
            tls,
            running: None,
            _reserved: reserved,
        };
        server.restart().await;
        server
    }

    /// Listens again, with all that it knew.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        self.running = Some(tokio::spawn(accept(listener, shared, tls)));
    }

    /// Ends the server with all its connections.
    pub(crate) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            drop(running.await);
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Serves with another certificate from the next start on.
    pub(crate) fn set_tls(&mut self, tls: TlsAcceptor) {
        self.tls = Some(tls);
    }

    /// Writes a kubeconfig for this server with what `user` says of the user.
    pub(crate) fn kubeconfig(&self, dir: &Path, cluster: &str, user: &str) -> PathBuf {
        let path = dir.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{}\", {cluster}}}}}]\n\
             users: [{{name: test, user: {{{user}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
            self.url()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Creates or replaces an object. `resource` is the plural, as in URLs.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.shared.lock().store.put(resource, object);
        self.shared.notify();
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.shared.lock().store.delete(resource, namespace, name);
        self.shared.notify();
    }

    /// An object that exists.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Value {
        self.shared.lock().store.get(resource, namespace, name)
    }

    /// Forgets all versions so far: to watch from one of them is 410.
    pub(crate) fn compact(&self) {
        self.shared.lock().store.compact();
    }

    /// All objects, and the version.
    pub(crate) fn backup(&self) -> Backup {
        self.shared.lock().store.backup()
    }

    /// Makes all objects and the version those of `backup`, as etcd does. Closes all open watches.
    pub(crate) fn restore(&self, backup: &Backup) {
        self.restore_under_watch(backup);
        self.end_watches();
    }

    /// The same, except that open watches go on with what happens from then on.
    pub(crate) fn restore_under_watch(&self, backup: &Backup) {
        let mut state = self.shared.lock();
        state.store.restore(backup);
        state.restores += 1;
        state.restored_at = state.store.version();
    }

    pub(crate) fn fault(&self, fault: Fault) {
        let mut state = self.shared.lock();
        state.fault = fault;
        state.faults += 1;
        drop(state);
        self.shared.notify();
    }

    /// Closes all open watches in order.
    pub(crate) fn end_watches(&self) {
        let fault = self.shared.lock().fault;
        self.fault(fault);
    }

    /// Lets in whoever has this token, from the next request on.
    pub(crate) fn token(&self, token: &str) {
        self.shared.lock().token = Some(token.to_owned());
    }

    pub(crate) fn forbid(&self, resource: &str) {
        self.shared.lock().forbidden.insert(resource.to_owned());
    }

    pub(crate) fn bookmark_every(&self, every: Duration) {
        self.shared.lock().bookmark_every = Some(every);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    pub(crate) fn lists(&self, resource: &str) -> usize {
        self.count(|r| !r.is_watch() && r.path.ends_with(resource))
    }

    pub(crate) fn watches(&self, resource: &str) -> usize {
        self.count(|r| r.is_watch() && r.path.ends_with(resource))
    }

    fn count(&self, wanted: impl Fn(&Request) -> bool) -> usize {
        self.requests().iter().filter(|r| wanted(r)).count()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// Serves until it is dropped, and every connection with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    drop(served); // whatever ended it is the test's doing
}
