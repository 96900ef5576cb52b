//! Several hooks for one listener.

use std::sync::Arc;

use lb_core::Backend;

use super::{
    Admission, Attempt, AttemptOutcome, Hooks, Observation, Progress, RefusalDetail, Summary,
};
use crate::connection::Connection;
use crate::upstream::Upstream;

/// Several hooks as one. Each observes what it would observe alone, in the order of the list.
///
/// A connection is refused if one of them refuses it; the others observe it all the same. Those that decide
/// [later](Admission::Later) do so at the same time, and the first refusal counts.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::events::{HookList, TracingEvents};
/// use lb_proxy::lb_core::{Backend, Snapshot};
/// use lb_proxy::lb_discovery::Static;
/// use lb_proxy::{Hooks, Listener, Upstream};
///
/// /// Hooks of the embedder.
/// #[derive(Debug)]
/// struct Own;
///
/// impl Hooks for Own {}
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nodes = Snapshot::from_backends([Backend::new("10.0.0.1:446".parse()?)]);
/// let upstream = Upstream::builder("echo").discovery(Static::new(nodes)).build()?;
/// let both: [Arc<dyn Hooks>; 2] = [Arc::new(TracingEvents::new()), Arc::new(Own)];
/// let hooks = HookList::new(both);
/// let listener = Listener::new("[::]:446".parse()?, &upstream).hooks(Arc::new(hooks));
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HookList(Arc<[Arc<dyn Hooks>]>);

impl HookList {
    /// The hooks in their order.
    pub fn new(hooks: impl IntoIterator<Item = Arc<dyn Hooks>>) -> Self {
        Self(hooks.into_iter().collect())
    }

    /// The hooks that observe at least this much of sessions that succeed.
    fn observers(&self, least: Observation) -> impl Iterator<Item = &dyn Hooks> {
        let hooks = self.0.iter().map(|hooks| &**hooks);
        hooks.filter(move |hooks| hooks.observes() >= least)
    }
}

impl Hooks for HookList {
    fn reads_first_bytes(&self) -> bool {
        self.0.iter().any(|hooks| hooks.reads_first_bytes())
    }

    fn observes(&self) -> Observation {
        let all = self.0.iter().map(|hooks| hooks.observes());
        all.max().unwrap_or(Observation::Failures)
    }

    fn would_refuse(&self, connection: &Connection, detail: &RefusalDetail) {
        for hooks in &*self.0 {
            hooks.would_refuse(connection, detail);
        }
    }

    fn accept(&self, connection: &Connection) -> Admission {
        let observers = self.observers(Observation::Everything);
        Admission::all(observers.map(|hooks| hooks.accept(connection)))
    }

    fn attempt(&self, connection: &Connection, attempt: &Attempt<'_>) {
        let least = match attempt.outcome {
            AttemptOutcome::Connected => Observation::Everything,
            AttemptOutcome::Abandoned => Observation::Ends,
            AttemptOutcome::Failed | AttemptOutcome::Local | AttemptOutcome::Timeout => {
                Observation::Failures
            }
        };
        for hooks in self.observers(least) {
            hooks.attempt(connection, attempt);
        }
    }

    fn connected(&self, connection: &Connection, upstream: &Upstream, backend: &Backend) {
        for hooks in self.observers(Observation::Everything) {
            hooks.connected(connection, upstream, backend);
        }
    }

    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        for hooks in self.observers(Observation::Everything) {
            hooks.progress(connection, progress);
        }
    }

    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let least = match summary.reason.is_failure() {
            true => Observation::Failures,
            false => Observation::Ends,
        };
        for hooks in self.observers(least) {
            hooks.close(connection, summary);
        }
    }
}
