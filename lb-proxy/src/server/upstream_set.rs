//! The upstreams whose sources are followed.

use std::collections::{HashMap, HashSet};

use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::server::Signals;
use crate::upstream::Upstream;

/// The upstreams whose sources are followed.
#[derive(Debug, Default)]
pub(crate) struct FollowedSet(Vec<Followed>);

#[derive(Debug)]
struct Followed {
    upstream: Upstream,
    cancel: CancellationToken,
}

impl FollowedSet {
    /// Follows `upstreams` and no others. Those with the name of one that is followed join it.
    pub(crate) fn adopt(
        &mut self,
        upstreams: Vec<Upstream>,
        runtime: &runtime::Handle,
        signals: &Signals,
    ) {
        let ids: HashSet<usize> = upstreams.iter().map(Upstream::id).collect();
        let is_same = |old: &Followed| ids.contains(&old.upstream.id());
        let (staying, others): (Vec<_>, Vec<_>) = self.0.drain(..).partition(is_same);
        let before: HashSet<usize> = staying.iter().map(|old| old.upstream.id()).collect();
        self.0 = staying;
        let mut by_name: HashMap<String, Vec<Followed>> = HashMap::new();
        for old in others.into_iter().rev() {
            let name = old.upstream.name().to_owned();
            by_name.entry(name).or_default().push(old);
        }
        let joining = upstreams
            .into_iter()
            .filter(|new| !before.contains(&new.id()));
        for upstream in joining {
            let namesakes = by_name.get_mut(upstream.name());
            match namesakes.and_then(|old| old.pop_if(|old| old.upstream.adopt(&upstream))) {
                Some(same) => self.0.push(same),
                None => self.follow(upstream, runtime, signals),
            }
        }
        for gone in by_name.into_values().flatten() {
            gone.cancel.cancel();
        }
    }

    fn follow(&mut self, upstream: Upstream, runtime: &runtime::Handle, signals: &Signals) {
        let cancel = signals.abort.child_token();
        runtime.spawn(upstream.clone().follow(cancel.clone()));
        self.0.push(Followed { upstream, cancel });
    }
}
