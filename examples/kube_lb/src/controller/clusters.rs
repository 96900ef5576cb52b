//! The clusters that are followed, and what is known of each.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::time::{Duration, SystemTime};

use futures::future::select_all;
use lb_discovery::kubernetes::Cluster;
use tracing::info;

use super::endpoints::cluster_set;
use super::stores::{ClusterRole, StoreChanges, Stores, Watches};
use crate::clusters::{ClusterPlace, ClusterSet, Knowledge};
use crate::plan::ServiceTarget;
use crate::state::{SavedCluster, SavedClusters};
use crate::watch_health::WatchHealth;

/// How the API server of a cluster is reached: [`ClusterPlace::cluster`], with other time limits in tests.
pub type Connect = Box<dyn Fn(&ClusterPlace) -> Cluster + Send + Sync>;

/// All clusters, the primary one first.
pub struct Clusters {
    members: Vec<Member>,
    connect: Connect,
}

struct Member {
    place: ClusterPlace,
    stores: Stores,
    watches: Watches,
    /// When what it began with was true. `None`: it began with nothing.
    begun_with: Option<SystemTime>,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// How old it is.
    pub knowledge: Knowledge,
    /// Why it is not current, if a request has failed.
    pub problem: Option<String>,
}

impl Clusters {
    /// Begins to follow `places`, of which `saved` is known already. Needs the context of a Tokio runtime.
    /// `health`: of the primary cluster.
    pub fn follow(
        places: &[ClusterPlace],
        connect: Connect,
        mut saved: SavedClusters,
        health: WatchHealth,
    ) -> Self {
        let healths = iter::once(health).chain(iter::repeat_with(WatchHealth::default));
        let members = places.iter().zip(healths).enumerate();
        let members = members.map(|(number, (place, health))| {
            let known = saved.take(&place.name);
            Member::follow(place, role(number), &connect, known, health)
        });
        Self {
            members: members.collect(),
            connect,
        }
    }

    /// Follows `places` from now on. What is known of those that stay is kept. The primary cluster stays the first one.
    pub(super) fn change_places(&mut self, places: &[ClusterPlace]) {
        let mut old: BTreeMap<String, Member> = self
            .members
            .drain(..)
            .map(|member| (member.place.name.clone(), member))
            .collect();
        for (number, place) in places.iter().enumerate() {
            let mut member = match old.remove(&place.name) {
                Some(known) if known.place.is_same_cluster(place) => known,
                known => {
                    let saved = match known {
                        Some(known) => known.save(SystemTime::now()),
                        None => {
                            info!(cluster = %place.name, "Cluster added");
                            None
                        }
                    };
                    let health = WatchHealth::default();
                    Member::follow(place, role(number), &self.connect, saved, health)
                }
            };
            member.place = place.clone();
            self.members.push(member);
        }
        for name in old.into_keys() {
            info!(cluster = %name, "Cluster removed");
        }
    }

    /// The API server of the primary cluster.
    pub(super) fn connect_primary(&self) -> Cluster {
        (self.connect)(&self.members[0].place)
    }

    /// The objects of the primary cluster.
    pub fn primary(&self) -> &Stores {
        &self.members[0].stores
    }

    /// The kinds of the primary cluster that may not be read, with what the server says.
    pub(super) fn unread(&self) -> Vec<(&'static str, String)> {
        let kinds = self.members[0].watches.health().kinds().into_iter();
        let denied = kinds.filter(|kind| kind.is_denied);
        let unread = denied.filter_map(|kind| Some((kind.kind, kind.problem?)));
        unread.collect()
    }

    /// The names of the clusters, and how old what is known of each is.
    pub(super) fn knowledge(&self) -> Vec<(String, Knowledge)> {
        let members = self.members.iter();
        let known = members.map(|member| (member.place.name.clone(), member.knowledge()));
        known.collect()
    }

    /// Whether the primary cluster has answered.
    pub fn is_primary_listed(&self) -> bool {
        self.members[0].watches.are_listed()
    }

    /// Whether enough is known to serve: the primary cluster has answered, and each other one has answered or failed, or what an
    /// earlier process knew of the primary cluster is known.
    pub fn are_known(&self) -> bool {
        let (primary, remote) = self.members.split_at(1);
        let is_settled = |member: &Member| {
            member.begun_with.is_some()
                || member.watches.are_listed()
                || member.watches.has_failed()
        };
        primary[0].begun_with.is_some()
            || (primary[0].watches.are_listed() && remote.iter().all(is_settled))
    }

    /// Whether each cluster has answered or failed.
    pub(super) fn are_listed_or_failing(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|member| member.watches.are_listed() || member.watches.has_failed())
    }

    /// Why nothing is known of the primary cluster, once it has failed.
    pub(super) fn primary_problem(&self) -> Option<String> {
        let primary = &self.members[0];
        let knows = primary.watches.are_listed() || primary.begun_with.is_some();
        primary.watches.problem().filter(|_| !knows)
    }

    /// Follows the nodes as well.
    pub fn follow_nodes(&mut self) {
        for member in &mut self.members {
            member.watches.follow_nodes(&member.stores.nodes);
        }
    }

    /// Waits for the next event of a cluster. Cancel-safe.
    pub async fn next(&mut self) {
        if let [only] = &mut self.members[..] {
            return only.watches.next(&mut only.stores).await;
        }
        let members = self.members.iter_mut();
        let next = members.map(|member| Box::pin(member.watches.next(&mut member.stores)));
        select_all(next).await;
    }

    pub(super) fn has_changes(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.stores.has_changes())
    }

    /// What has changed since the last call. Of other clusters than the primary one only endpoints count.
    pub(super) fn take_changes(&mut self) -> StoreChanges {
        let (primary, remote) = self.members.split_at_mut(1);
        let mut changes = primary[0].stores.take_changes();
        for member in remote {
            let of_remote = member.stores.take_changes();
            changes.nodes |= of_remote.nodes;
            changes.endpoints.extend(of_remote.endpoints);
        }
        changes
    }

    /// What each cluster has for a port of a Service: the primary one, and those with a Service of its name if both have
    /// the [label](crate::names::GLOBAL).
    pub fn sets(&self, of: &ServiceTarget) -> Vec<ClusterSet<'_>> {
        let (primary, remote) = self.members.split_at(1);
        let mut sets = vec![primary[0].set(of)];
        let is_global = |member: &&Member| {
            let service = member.stores.service_of(of);
            service.is_some_and(|service| service.is_global())
        };
        if is_global(&&primary[0]) {
            sets.extend(remote.iter().filter(is_global).map(|member| member.set(of)));
        }
        sets
    }

    /// What is known of each cluster.
    pub fn reports(&self) -> Vec<ClusterReport> {
        let members = self.members.iter();
        members.map(Member::report).collect()
    }

    /// Why statuses say that a cluster is not followed, by the names of all clusters but the primary one.
    pub(super) fn stale(
        &self,
        after: Duration,
        now: SystemTime,
    ) -> BTreeMap<String, Option<String>> {
        let remote = self.members.iter().skip(1);
        let stale = remote.map(|member| {
            let knowledge = member.knowledge();
            let text = match knowledge {
                Knowledge::Nothing => "its API server has not answered yet".to_owned(),
                _ => format!("its API server cannot be followed, and its last endpoints are used, {knowledge}"),
            };
            let is_stale = knowledge.is_older_than(after, now);
            (member.place.name.clone(), is_stale.then_some(text))
        });
        stale.collect()
    }

    /// When the next cluster becomes older than `after`.
    pub(super) fn next_stale(&self, after: Duration, now: SystemTime) -> Option<Duration> {
        let remote = self.members.iter().skip(1);
        let ages = remote.filter_map(|member| match member.knowledge() {
            Knowledge::AsOf(_) => member.knowledge().age(now),
            _ => None,
        });
        // One millisecond more, because an age of exactly the limit is not older.
        let left = ages.filter_map(|age| (after + Duration::from_millis(1)).checked_sub(age));
        left.filter(|left| !left.is_zero()).min()
    }

    /// What the next process may begin with. `None` if it would begin with nothing.
    pub(super) fn save(&self, now: SystemTime) -> Option<SavedClusters> {
        let primary = self.members.first()?.save(now)?;
        let remote = self.members.iter().skip(1);
        let remote = remote.filter_map(|member| member.save(now));
        let clusters = iter::once(primary).chain(remote).collect();
        Some(SavedClusters { clusters })
    }
}

impl Member {
    fn follow(
        place: &ClusterPlace,
        role: ClusterRole,
        connect: &Connect,
        saved: Option<SavedCluster>,
        health: WatchHealth,
    ) -> Self {
        let begun_with = saved.as_ref().map(|saved| saved.as_of);
        let stores = saved.map(Stores::restored).unwrap_or_default();
        Self {
            watches: Watches::follow(&connect(place), role, &stores, health),
            place: place.clone(),
            stores,
            begun_with,
        }
    }

    fn set(&self, of: &ServiceTarget) -> ClusterSet<'_> {
        ClusterSet {
            place: &self.place,
            set: cluster_set(&self.stores, of),
        }
    }

    fn knowledge(&self) -> Knowledge {
        match (self.watches.are_listed(), self.watches.failing_since()) {
            (true, None) => Knowledge::Current,
            (true, Some(since)) => Knowledge::AsOf(since),
            (false, _) => self.begun_with.map_or(Knowledge::Nothing, Knowledge::AsOf),
        }
    }

    fn report(&self) -> ClusterReport {
        ClusterReport {
            name: self.place.name.clone(),
            knowledge: self.knowledge(),
            problem: self.watches.problem(),
        }
    }

    /// `None` if nothing is known.
    fn save(&self, now: SystemTime) -> Option<SavedCluster> {
        let as_of = match self.knowledge() {
            Knowledge::Current => now,
            Knowledge::AsOf(time) => time,
            Knowledge::Nothing => return None,
        };
        Some(self.stores.save(self.place.name.clone(), as_of))
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.reports()).finish()
    }
}

const fn role(number: usize) -> ClusterRole {
    match number {
        0 => ClusterRole::Primary,
        _ => ClusterRole::Remote,
    }
}
