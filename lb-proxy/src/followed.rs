//! The upstreams whose sources are followed.

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
        let mut before = std::mem::take(&mut self.0);
        let mut joining = Vec::new();
        for upstream in upstreams {
            match before.iter().position(|old| old.upstream.is(&upstream)) {
                Some(same) => self.0.push(before.swap_remove(same)),
                None => joining.push(upstream),
            }
        }
        for upstream in joining {
            let namesake = |old: &Followed| old.upstream.name() == upstream.name();
            match before.iter().position(namesake) {
                Some(same) if before[same].upstream.adopt(&upstream) => {
                    self.0.push(before.swap_remove(same));
                }
                _ => self.follow(upstream, runtime, signals),
            }
        }
        for gone in before {
            gone.cancel.cancel();
        }
    }

    fn follow(&mut self, upstream: Upstream, runtime: &runtime::Handle, signals: &Signals) {
        let cancel = signals.abort.child_token();
        runtime.spawn(upstream.clone().follow(cancel.clone()));
        self.0.push(Followed { upstream, cancel });
    }
}
