//! The upstreams that a server follows, and what a reload changes of them. Fixed upstreams have nothing to follow.

use std::sync::Arc;

use tokio::runtime;
use tokio_util::sync::CancellationToken;

use super::diff::{Diff, diff};
use super::report::Changes;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::upstream::Upstream;
use crate::upstream::checks::resources::ProbeResources;

/// The upstreams that the server follows.
#[derive(Debug, Default)]
pub(crate) struct UpstreamSet {
    followed: Vec<FollowedUpstream>,
    /// What the probes of all of them share.
    probes: ProbeResources,
}

#[derive(Debug)]
struct FollowedUpstream {
    upstream: Upstream,
    cancel: CancellationToken,
}

/// The names of an upstream in a diff. The pool takes precedence over the name.
#[derive(Debug, Eq, Hash, PartialEq)]
enum UpstreamName {
    Pool(usize),
    Text(Arc<str>),
}

impl UpstreamSet {
    /// Follows `described` and no other upstreams. A running upstream takes over the description of the same name, and its
    /// handles. Leaves out those that are [fixed](Upstream::is_fixed).
    pub(crate) fn replace(
        &mut self,
        mut described: Vec<Upstream>,
        runtime: &runtime::Handle,
        signals: &ShutdownSignals,
    ) -> Changes<Arc<str>> {
        described.retain(|upstream| !upstream.is_fixed());
        let Diff { steps, removed } = self.diff(&described);
        let mut changes = Changes::default();
        let mut old: Vec<Option<FollowedUpstream>> = self.followed.drain(..).map(Some).collect();
        for (upstream, step) in described.into_iter().zip(steps) {
            let name = Arc::clone(upstream.shared_name());
            changes.note(step, name);
            let before = step.running().and_then(|i| old[i].take());
            match before {
                Some(same) if same.upstream.id() == upstream.id() => self.followed.push(same),
                Some(same) if same.upstream.adopt(&upstream) => self.followed.push(same),
                // It has begun to run elsewhere since the diff.
                Some(other) => {
                    other.cancel.cancel();
                    self.follow(upstream, runtime, signals);
                }
                None => self.follow(upstream, runtime, signals),
            }
        }
        for gone in removed.into_iter().filter_map(|i| old[i].take()) {
            gone.cancel.cancel();
            changes
                .removed
                .push(Arc::clone(gone.upstream.shared_name()));
        }
        changes
    }

    /// Counts the sessions of the followed upstreams in detail, if the server does, and observes what they contribute to its
    /// readiness.
    pub(crate) fn observe(&self, trackers: &Trackers) {
        self.all()
            .for_each(|upstream| upstream.observe_readiness(&trackers.readiness));
        if let Some(detailed) = trackers.detailed() {
            self.all().for_each(|upstream| upstream.count_in(detailed));
        }
    }

    /// The followed upstreams.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Upstream> {
        self.followed.iter().map(|followed| &followed.upstream)
    }

    /// Compares the followed upstreams with `described`. An upstream is known by its pool, else by its name.
    fn diff(&self, described: &[Upstream]) -> Diff {
        let name = |upstream: &Upstream| UpstreamName::Text(Arc::clone(upstream.shared_name()));
        let running = self.followed.iter().map(|old| {
            let pool = UpstreamName::Pool(old.upstream.id());
            vec![pool, name(&old.upstream)]
        });
        let names = described.iter().map(|new| {
            let pool = UpstreamName::Pool(new.id());
            // An upstream that runs in another server goes on running by itself.
            match new.is_idle() {
                true => vec![pool, name(new)],
                false => vec![pool],
            }
        });
        let (running, names): (Vec<_>, Vec<_>) = (running.collect(), names.collect());
        diff(&running, &names, |i, j| {
            self.followed[i].upstream.is_same_as(&described[j])
        })
    }

    fn follow(&mut self, upstream: Upstream, runtime: &runtime::Handle, signals: &ShutdownSignals) {
        let cancel = signals.abort.child_token();
        runtime.spawn(
            upstream
                .clone()
                .follow_supervised(self.probes.clone(), cancel.clone()),
        );
        self.followed.push(FollowedUpstream { upstream, cancel });
    }
}
