//! Who listens and what is followed, and how that changes while the server runs.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::builder::Proxy;
use crate::entrance::{Building, Entrance};
use crate::error::{BindError, ReloadError};
use crate::listener::{Listener, Opened};
use crate::server::{Farewell, Shared, Signals};
use crate::session::Door;
use crate::stream::Acceptor;
use crate::upstream::Upstream;
use crate::worker::{Worker, Workers};

/// The listeners and upstreams of a server.
#[derive(Debug)]
pub(crate) struct Roster {
    posts: Vec<Post>,
    followed: Vec<Followed>,
    building: Arc<Building>,
    workers: Workers,
    pub(crate) farewell: Farewell,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Starting,
    Accepting,
    Ended,
}

/// A listener at work.
#[derive(Debug)]
struct Post {
    /// The address it was described with.
    described: SocketAddr,
    entrance: Arc<Entrance>,
    /// One for each worker.
    sockets: Vec<Arc<Acceptor>>,
    /// The sockets are given up.
    retired: CancellationToken,
    /// The present doors close; a child of `retired`.
    shift: CancellationToken,
}

/// An upstream whose sources are followed.
#[derive(Debug)]
struct Followed {
    upstream: Upstream,
    cancel: CancellationToken,
}

/// What a [reload](crate::Handle::reload) has changed.
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reloaded {
    /// Listeners that are new.
    pub added: Vec<SocketAddr>,
    /// Listeners that kept their sockets.
    pub kept: Vec<SocketAddr>,
    /// Listeners that accept no more.
    pub removed: Vec<SocketAddr>,
    /// Whether other [`Workers`] were described, which takes a new server.
    pub workers_differ: bool,
}

impl Roster {
    /// Opens sockets and begins to follow upstreams. Nothing is accepted before [`begin`](Self::begin).
    pub(crate) fn open(
        proxy: Proxy,
        sessions: usize,
        workers: &[Arc<Worker>],
        signals: &Signals,
    ) -> Result<Self, BindError> {
        let mut roster = Self {
            posts: Vec::new(),
            followed: Vec::new(),
            building: Building::new(sessions, proxy.limits),
            workers: proxy.workers,
            farewell: proxy.farewell,
            stage: Stage::Starting,
        };
        let upstreams = proxy.all_upstreams();
        for listener in proxy.listeners {
            let post = roster.post(listener, workers, signals)?;
            roster.posts.push(post);
        }
        let runtime = runtime::Handle::current();
        for upstream in upstreams {
            roster.follow(upstream, &runtime, signals);
        }
        Ok(roster)
    }

    /// The addresses listened on.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.posts.iter().map(|post| post.entrance.addr).collect()
    }

    /// Begins to accept.
    pub(crate) fn begin(&mut self, workers: &[Arc<Worker>]) {
        self.stage = Stage::Accepting;
        for post in &self.posts {
            post.log();
            post.man(workers);
        }
    }

    /// Closes the listeners with the last of their doors; nothing changes any more.
    pub(crate) fn end(&mut self) -> Farewell {
        self.stage = Stage::Ended;
        self.posts.drain(..).for_each(|post| post.retired.cancel());
        self.farewell
    }

    /// See [`Handle::reload`](crate::Handle::reload).
    pub(crate) fn reload(
        &mut self,
        proxy: Proxy,
        shared: &Shared,
    ) -> Result<Reloaded, ReloadError> {
        if self.stage == Stage::Ended || shared.signals.abort.is_cancelled() {
            return Err(ReloadError::Ended);
        }
        let (workers, signals) = (&shared.workers, &shared.signals);
        let upstreams = proxy.all_upstreams();
        let mut reloaded = Reloaded {
            workers_differ: proxy.workers != self.workers,
            ..Reloaded::default()
        };
        // What can fail comes first.
        let mut staying = vec![false; self.posts.len()];
        let mut plan = Vec::with_capacity(proxy.listeners.len());
        for listener in proxy.listeners {
            let is_same = |(i, post): (usize, &Post)| !staying[i] && post.is_of(&listener);
            match self.posts.iter().enumerate().position(is_same) {
                Some(i) => {
                    staying[i] = true;
                    plan.push(Change::Keep(i, Box::new(listener)));
                }
                None => plan.push(Change::Add(self.post(listener, workers, signals)?)),
            }
        }
        // Nothing fails from here on.
        self.adopt(upstreams, shared);
        self.building = self.building.changed(proxy.limits);
        self.farewell = proxy.farewell;
        let mut old: Vec<Option<Post>> = self.posts.drain(..).map(Some).collect();
        for change in plan {
            let post = match change {
                Change::Add(mut post) => {
                    // Its limits are new, but the proxy's are not.
                    post.entrance = post.entrance.moved(&self.building);
                    reloaded.added.push(post.entrance.addr);
                    post.log();
                    post
                }
                Change::Keep(i, listener) => {
                    let post = old[i].take().expect("kept once");
                    reloaded.kept.push(post.entrance.addr);
                    post.changed(*listener, &self.building)
                }
            };
            if self.stage == Stage::Accepting {
                post.man(workers);
            }
            self.posts.push(post);
        }
        for post in old.into_iter().flatten() {
            reloaded.removed.push(post.entrance.addr);
            info!(listener = %post.entrance.addr, "No longer listening");
            post.retired.cancel();
        }
        Ok(reloaded)
    }

    /// Follows `upstreams` and no others. Those with the name of one that is followed join it.
    fn adopt(&mut self, upstreams: Vec<Upstream>, shared: &Shared) {
        let mut before = std::mem::take(&mut self.followed);
        let mut joining = Vec::new();
        for upstream in upstreams {
            match before.iter().position(|old| old.upstream.is(&upstream)) {
                Some(same) => self.followed.push(before.swap_remove(same)),
                None => joining.push(upstream),
            }
        }
        for upstream in joining {
            let namesake = |old: &Followed| old.upstream.name() == upstream.name();
            match before.iter().position(namesake) {
                Some(same) if before[same].upstream.adopt(&upstream) => {
                    self.followed.push(before.swap_remove(same));
                }
                _ => self.follow(upstream, &shared.runtime, &shared.signals),
            }
        }
        for gone in before {
            gone.cancel.cancel();
        }
    }

    fn follow(&mut self, upstream: Upstream, runtime: &runtime::Handle, signals: &Signals) {
        let cancel = signals.abort.child_token();
        runtime.spawn(upstream.clone().follow(cancel.clone()));
        self.followed.push(Followed { upstream, cancel });
    }

    fn post(
        &self,
        listener: Listener,
        workers: &[Arc<Worker>],
        signals: &Signals,
    ) -> Result<Post, BindError> {
        let described = listener.addr();
        let Opened {
            addr,
            sockets,
            limits,
            route,
        } = listener.open(workers.len())?;
        let sockets = sockets.into_iter().zip(workers);
        let sockets = sockets.map(|(socket, worker)| worker.open(socket));
        let sockets = sockets.collect::<Result<_, _>>();
        let retired = signals.stop.child_token();
        Ok(Post {
            described,
            entrance: Entrance::new(addr, route, limits, &self.building),
            sockets: sockets.map_err(|source| BindError::Listen { addr, source })?,
            shift: retired.child_token(),
            retired,
        })
    }
}

/// What becomes of a described listener.
enum Change {
    Add(Post),
    /// The post with this number stays.
    Keep(usize, Box<Listener>),
}

impl Post {
    fn is_of(&self, listener: &Listener) -> bool {
        [self.described, self.entrance.addr].contains(&listener.addr())
    }

    fn log(&self) {
        let Entrance { addr, route, .. } = &*self.entrance;
        info!(listener = %addr, upstream = route.upstream.name(), "Listening");
    }

    /// Opens a door for each worker.
    fn man(&self, workers: &[Arc<Worker>]) {
        for (socket, worker) in self.sockets.iter().zip(workers) {
            worker.attend(Door::new(
                Arc::clone(&self.entrance),
                Arc::clone(socket),
                self.shift.clone(),
                self.retired.clone(),
            ));
        }
    }

    /// The same sockets for another description. The doors that there are close.
    fn changed(self, listener: Listener, building: &Arc<Building>) -> Self {
        if let Err(error) = listener.apply(&self.sockets) {
            warn!(listener = %self.entrance.addr, %error, "Socket options stay as they were");
        }
        let (limits, route) = listener.into_parts();
        self.shift.cancel();
        Self {
            entrance: self.entrance.changed(route, limits, building),
            shift: self.retired.child_token(),
            ..self
        }
    }
}
