//! A Kubernetes API server that lists, watches and writes, and fails on request.
//!
//! Over real HTTP: lists in pages with continue tokens, label and field selectors, watches with bookmarks and time-outs,
//! 410 for versions that were compacted away, bearer tokens, RBAC by resource. Objects are read, created, replaced, patched and deleted as
//! `write` describes: with versions, finalizers, and the owners of the fields of a status. The server accepts a watch from a version
//! that it has not reached yet and sends nothing until then, not even bookmarks, as the real server does. So a watch
//! continues after a [backup](ApiServer::backup) is restored.

mod answer;
mod store;
mod validate;
mod write;

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
pub use self::store::Backup;

use self::store::Store;
use self::write::Owners;

/// A fault of the server. A change of the fault closes open watches, except a change to `Frozen`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// None: the server works.
    #[default]
    None,
    /// Bookmarks have no version, and the server sends them at once.
    BareBookmarks,
    /// The next event of a watch is cut in the middle, with the connection. Once.
    CutWatch,
    /// Lists are nested very deeply.
    DeepLists,
    /// Lists have no objects, as of a version that starts over.
    EmptyLists,
    /// Every answer is 500 with a text that never ends.
    EndlessComplaint,
    /// A list never ends.
    EndlessList,
    /// Every page of a list is the first one, with a continue token.
    EndlessPages,
    /// The server closes watches as soon as they are open.
    EndWatches,
    /// The server sends nothing any more, on open connections either.
    Frozen,
    /// Answers are not JSON.
    Garbage,
    /// The events of a watch are not JSON.
    GarbageEvents,
    /// The events of a watch are a text of a megabyte where an object belongs.
    LongEvents,
    /// A watch is a text of a megabyte on one line.
    LongLine,
    /// Watches are refused with 410.
    Gone,
    /// Watches begin with an ERROR event of code 410.
    GoneEvent,
    /// Every answer is a redirection to the login page of a proxy.
    Redirected,
    /// The server sends a list at one byte a second.
    Slow,
    /// Every answer has this status.
    Status(u16),
    /// Every answer has this status and these seconds as `Retry-After`.
    Throttled(u16, u32),
}

/// A server on a free port of 127.0.0.1. `Drop` ends it.
pub struct ApiServer {
    addr: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    running: Option<JoinHandle<()>>,
    /// Reserves the port while the server is down; does not listen.
    _reserved: Socket,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// Counts the changes that open watches must see.
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
    owners: Owners,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The path of the URL.
    pub path: String,
    /// The query of the URL, or nothing.
    pub query: String,
    /// The bearer token.
    pub token: Option<String>,
}

impl Request {
    /// Whether the request opens a watch.
    pub fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

impl ApiServer {
    /// Starts a server without objects, over plain HTTP.
    pub async fn start() -> Self {
        Self::with_tls(None).await
    }

    /// Starts a server without objects, over HTTPS if `tls` is given.
    pub async fn with_tls(tls: Option<TlsAcceptor>) -> Self {
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

    /// Listens again, with the same objects and settings.
    pub async fn restart(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        self.running = Some(tokio::spawn(accept(listener, shared, tls)));
    }

    /// Ends the server with all its connections.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            drop(running.await);
        }
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Sets the certificate from the next [`restart`](Self::restart) on.
    pub fn set_tls(&mut self, tls: TlsAcceptor) {
        self.tls = Some(tls);
    }

    /// Writes a kubeconfig for this server into `dir`. `cluster` and `user` are fields in YAML's flow style.
    pub fn kubeconfig(&self, dir: &Path, cluster: &str, user: &str) -> PathBuf {
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
    pub fn put(&self, resource: &str, object: Value) {
        self.shared.lock().store.put(resource, object);
        self.shared.notify();
    }

    /// Deletes an object that exists.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.shared.lock().store.delete(resource, namespace, name);
        self.shared.notify();
    }

    /// Changes an object that exists.
    pub fn change(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let mut state = self.shared.lock();
        let mut object = state.store.get(resource, namespace, name);
        change(&mut object);
        state.store.put(resource, object);
        drop(state);
        self.shared.notify();
    }

    /// Applies a status as the field manager `manager`, which owns its fields then.
    pub fn apply_status(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        manager: &str,
        status: &Value,
    ) {
        let mut state = self.shared.lock();
        write::apply_as(&mut state, (resource, namespace, name), manager, status);
        drop(state);
        self.shared.notify();
    }

    /// Requests the deletion of an object that exists: one with finalizers stays until they are removed.
    pub fn request_deletion(&self, resource: &str, namespace: &str, name: &str) {
        let finalizers = self.get(resource, namespace, name)["metadata"]["finalizers"].clone();
        match finalizers.as_array().is_none_or(Vec::is_empty) {
            true => self.delete(resource, namespace, name),
            false => self.change(resource, namespace, name, |object| {
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }),
        }
    }

    /// An object, if it exists.
    pub fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.shared.lock().store.find(&key)
    }

    /// All objects of a kind.
    pub fn all(&self, resource: &str) -> Vec<Value> {
        self.shared.lock().store.all(resource)
    }

    /// An object that exists.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Value {
        self.shared.lock().store.get(resource, namespace, name)
    }

    /// Compacts all versions so far: a watch from one of them is answered with 410.
    pub fn compact(&self) {
        self.shared.lock().store.compact();
    }

    /// All objects, and the version.
    pub fn backup(&self) -> Backup {
        self.shared.lock().store.backup()
    }

    /// Restores the objects and the version of `backup`, as etcd does. Closes all open watches.
    pub fn restore(&self, backup: &Backup) {
        self.restore_under_watch(backup);
        self.end_watches();
    }

    /// The same, except that open watches continue with the changes after the restore.
    pub fn restore_under_watch(&self, backup: &Backup) {
        let mut state = self.shared.lock();
        state.store.restore(backup);
        state.restores += 1;
        state.restored_at = state.store.version();
    }

    /// Sets the fault.
    pub fn fault(&self, fault: Fault) {
        let mut state = self.shared.lock();
        state.fault = fault;
        state.faults += 1;
        drop(state);
        self.shared.notify();
    }

    /// Closes all open watches in an orderly way.
    pub fn end_watches(&self) {
        let fault = self.shared.lock().fault;
        self.fault(fault);
    }

    /// Requires this bearer token, from the next request on.
    pub fn token(&self, token: &str) {
        self.shared.lock().token = Some(token.to_owned());
    }

    /// Answers requests for `resource` with 403.
    pub fn forbid(&self, resource: &str) {
        self.shared.lock().forbidden.insert(resource.to_owned());
    }

    /// Answers requests for `resource` again after [`forbid`](Self::forbid).
    pub fn permit(&self, resource: &str) {
        self.shared.lock().forbidden.remove(resource);
    }

    /// Sends bookmarks on watches that ask for them. Default: never.
    pub fn bookmark_every(&self, every: Duration) {
        self.shared.lock().bookmark_every = Some(every);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The number of requests so far that listed `resource`.
    pub fn lists(&self, resource: &str) -> usize {
        self.count(|r| !r.is_watch() && r.path.ends_with(resource))
    }

    /// The number of requests so far that watched `resource`.
    pub fn watches(&self, resource: &str) -> usize {
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
    drop(served); // any error is the test's doing
}
