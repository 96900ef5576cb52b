//! The listeners and upstreams of a server, and what a reload changes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime;
use tracing::warn;

use crate::error::{BindError, ReloadError};
use crate::listener::running::{Post, Retired};
use crate::listener::{Held, share};
use crate::server::budget::DescriptorBudget;
use crate::server::reload::{Plan, Reloaded};
use crate::server::upstream_set::FollowedSet;
use crate::server::worker_pool::{Worker, Workers};
use crate::server::{Farewell, Shared, Signals};
use crate::state::listener::Building;
use crate::state::watch::Watch;

/// The listeners and upstreams of a server.
#[derive(Debug)]
pub(crate) struct Roster {
    posts: Vec<Post>,
    followed: FollowedSet,
    building: Arc<Building>,
    workers: Workers,
    descriptors: DescriptorBudget,
    pub(crate) farewell: Farewell,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Starting,
    Accepting,
    Ended,
}

impl Roster {
    /// Takes the listeners of `plan`, which are open, and begins to follow its upstreams. Nothing is accepted before
    /// [`begin`](Self::begin).
    pub(crate) fn new(plan: Plan, signals: &Signals, watch: &Arc<Watch>) -> Self {
        let held = plan
            .openings
            .iter()
            .filter_map(|opening| opening.held.as_ref());
        let listening = held.map(Held::descriptors).sum();
        let descriptors = DescriptorBudget::of_process(listening, plan.reserve);
        let building = Building::new(descriptors.sessions, plan.limits, watch);
        let openings = plan.openings.into_iter();
        let posts = openings.filter_map(|opening| {
            let held = opening.held?;
            Some(Post::new(opening.listener, held, &building, signals))
        });
        let mut roster = Self {
            posts: posts.collect(),
            followed: FollowedSet::default(),
            building,
            workers: plan.workers,
            descriptors,
            farewell: plan.farewell,
            stage: Stage::Starting,
        };
        let posts = roster.posts.iter();
        let guarded = posts.filter(|post| post.held.is_guarded());
        let ports = guarded.map(|post| post.addr().port()).collect();
        roster.settle(&ports);
        watch.hops.set_listeners(roster.addrs());
        let runtime = runtime::Handle::current();
        roster.followed.adopt(plan.upstreams, &runtime, signals);
        roster
    }

    /// The addresses listened on.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.posts.iter().map(Post::addr).collect()
    }

    pub(crate) const fn descriptors(&self) -> DescriptorBudget {
        self.descriptors
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
        for post in self.posts.drain(..) {
            post.retire();
        }
        self.farewell
    }

    /// Applies `plan` if every address that it adds can be bound now; otherwise nothing changes, and it may be tried again.
    ///
    /// Returns the listeners whose sockets are about to be closed.
    pub(crate) fn apply(
        &mut self,
        plan: &mut Plan,
        shared: &Shared,
    ) -> Result<(Reloaded, Vec<Retired>), ReloadError> {
        if self.stage == Stage::Ended || shared.signals.abort.is_cancelled() {
            return Err(ReloadError::Ended);
        }
        // What can fail comes first.
        let stays = self.assign(plan);
        let beside = self.open(plan, &stays, shared)?;
        // Nothing fails from here on.
        let before = self.listening_descriptors();
        let (reloaded, retired) = self.commit(plan, beside, shared);
        let now = self.listening_descriptors();
        let budget = self.descriptors.changed(before, now, plan.reserve);
        if budget != self.descriptors {
            budget.log();
            self.descriptors = budget;
            self.building.admit(budget.sessions);
        }
        Ok((reloaded, retired))
    }

    /// Finds the listener that each description means. Returns which of them keep their sockets.
    fn assign(&self, plan: &mut Plan) -> Vec<bool> {
        let mut known: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
        for (i, post) in self.posts.iter().enumerate().rev() {
            for addr in BTreeSet::from(post.known_as()) {
                known.entry(addr).or_default().push(i);
            }
        }
        let mut meant = vec![false; self.posts.len()];
        let mut stays = meant.clone();
        for opening in &mut plan.openings {
            let candidates = known.get(&opening.listener.addr());
            let mut candidates = candidates.into_iter().flatten().rev();
            let post = candidates.find(|&&i| !meant[i]).copied();
            opening.post = post;
            let Some(i) = post else { continue };
            meant[i] = true;
            stays[i] = !opening.listener.needs_other_sockets(&self.posts[i].held);
            opening.keeps = stays[i];
        }
        stays
    }

    /// Opens what has to be opened. Returns the ports where sockets had to be relaxed for that.
    fn open(
        &self,
        plan: &mut Plan,
        stays: &[bool],
        shared: &Shared,
    ) -> Result<BTreeSet<u16>, BindError> {
        let mut leaving: HashMap<u16, Vec<&Post>> = HashMap::new();
        for (post, _) in self.posts.iter().zip(stays).filter(|(_, stays)| !**stays) {
            leaving.entry(post.addr().port()).or_default().push(post);
        }
        let mut beside = BTreeSet::new();
        for opening in plan.openings.iter_mut().filter(|opening| !opening.keeps) {
            let old = opening.post.map(|i| &self.posts[i]);
            let port = old.map_or(0, |post| post.addr().port());
            let listening = opening.listening(port);
            let overlapping = leaving.get(&listening.addr.port()).into_iter().flatten();
            let overlapping = overlapping.filter(|post| post.held.listening.overlaps(&listening));
            let mut in_the_way = None;
            if opening.held.is_none() {
                for post in overlapping {
                    in_the_way = Some(post.addr());
                    beside.insert(post.addr().port());
                    // If it fails, so does opening.
                    let _ = post.held.relax();
                }
            }
            if let Err(error) = opening.open(&shared.workers, port, in_the_way) {
                // What is in the way goes on for now, by itself.
                plan.close_those_beside();
                self.settle(&beside);
                return Err(error);
            }
        }
        Ok(beside)
    }

    fn commit(
        &mut self,
        plan: &mut Plan,
        mut unsettled: BTreeSet<u16>,
        shared: &Shared,
    ) -> (Reloaded, Vec<Retired>) {
        // Before a new listener brings connections to them.
        let upstreams = std::mem::take(&mut plan.upstreams);
        self.followed
            .adopt(upstreams, &shared.runtime, &shared.signals);
        self.building = self.building.changed(plan.limits);
        self.farewell = plan.farewell;
        let mut reloaded = Reloaded {
            workers_differ: plan.workers != self.workers,
            ..Reloaded::default()
        };
        let mut old: Vec<Option<Post>> = self.posts.drain(..).map(Some).collect();
        for opening in plan.openings.drain(..) {
            let before = opening.post.and_then(|i| old[i].take_if(|_| opening.keeps));
            unsettled.extend(opening.unsettled(before.as_ref().map(|post| &post.held)));
            let post = match (before, opening.held) {
                (Some(post), _) => {
                    reloaded.kept.push(post.addr());
                    post.changed(opening.listener, &self.building)
                }
                (None, Some(held)) => {
                    let list = match opening.post {
                        Some(_) => &mut reloaded.replaced,
                        None => &mut reloaded.added,
                    };
                    list.push(held.listening.addr);
                    let building = &self.building;
                    let post = Post::new(opening.listener, held, building, &shared.signals);
                    post.log();
                    post
                }
                (None, None) => continue,
            };
            if self.stage == Stage::Accepting {
                post.man(&shared.workers);
            }
            self.posts.push(post);
        }
        shared.watch.hops.set_listeners(self.addrs());
        let retired: Vec<_> = old.into_iter().flatten().map(Post::retire).collect();
        let addrs = retired.iter().map(|retired| retired.addr);
        let is_replaced = |addr: &SocketAddr| reloaded.replaced.contains(addr);
        reloaded.removed = addrs.filter(|addr| !is_replaced(addr)).collect();
        self.settle(&unsettled);
        (reloaded, retired)
    }

    fn listening_descriptors(&self) -> u64 {
        self.posts.iter().map(|post| post.held.descriptors()).sum()
    }

    /// Closes `ports` to other programs, where the listeners want that.
    fn settle(&self, ports: &BTreeSet<u16>) {
        let mut all: BTreeMap<u16, Vec<&Held>> = BTreeMap::new();
        for held in self.posts.iter().map(|post| &post.held) {
            let port = held.listening.addr.port();
            if ports.contains(&port) {
                all.entry(port).or_default().push(held);
            }
        }
        for (port, held) in all {
            if let Err(error) = share::settle(port, &held) {
                warn!(port, %error, "Port may be shared with other programs of the same user");
            }
        }
    }
}
