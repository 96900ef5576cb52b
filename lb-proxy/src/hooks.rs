//! Hooks: what an embedder observes of each connection.

mod admission;
mod attempt;
mod list;
mod observation;
mod progress;
mod refusal;
mod summary;
mod termination;
#[cfg(any(test, feature = "test-util"))]
mod test_util;

use std::fmt;

use lb_core::Backend;

use crate::connection::Connection;
use crate::upstream::Upstream;

pub use crate::net::connect::AttemptStep;
pub use admission::Admission;
pub use attempt::{Attempt, AttemptError, AttemptOutcome, AttemptReport};
pub use list::HookList;
pub use observation::Observation;
pub use progress::Progress;
pub use refusal::{PrereadFailure, PrereadRefusal, RefusalDetail};
pub use summary::{Side, Summary};
pub use termination::TerminationCode;

/// Observes the connections of the listeners that have it, and may refuse them; see
/// [`Listener::hooks`](crate::Listener::hooks).
///
/// Hooks do not choose: the upstream is [the listener's route](crate::Listener::route), and what hashing policies hash is
/// [the upstream's key](crate::UpstreamBuilder::hash_key). Every method has a default that does nothing. All run on the
/// connection's task and delay the other sessions of its worker, so they must not block. A listener without hooks
/// pays one branch for each. If a method panics, its session ends with [`CloseReason::Panicked`](crate::events::CloseReason::Panicked).
///
/// ```
/// use std::net::IpAddr;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use lb_proxy::events::{Admission, Connection, Summary};
/// use lb_proxy::{Hooks, Listener, Upstream};
///
/// /// Refuses clients of one network, and counts the bytes that the others get.
/// #[derive(Debug, Default)]
/// struct Guard {
///     bytes: AtomicU64,
/// }
///
/// impl Hooks for Guard {
///     fn accept(&self, connection: &Connection) -> Admission {
///         match connection.client.ip() {
///             IpAddr::V4(ip) if ip.octets().starts_with(&[192, 0, 2]) => Admission::Refuse,
///             _ => Admission::Admit,
///         }
///     }
///
///     fn close(&self, _: &Connection, summary: &Summary<'_>) {
///         self.bytes.fetch_add(summary.bytes_to_client, Relaxed);
///     }
/// }
///
/// # let nodes = lb_proxy::lb_core::Snapshot::default();
/// let upstream = Upstream::builder("nodes").fixed(&nodes)?;
/// let listener = Listener::new("[::]:446".parse()?, &upstream).hooks(Guard::default());
/// # drop(listener);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Listener::session_data`](crate::Listener::session_data) gives each session a value of the embedder, which every method finds
/// in [`Connection::data`].
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// Whether the hooks read what the first bytes of a connection contained: the PROXY header, the server name. Default: yes.
    /// Asked when the proxy is built. With no, sessions do not keep them unless something else reads them.
    fn reads_first_bytes(&self) -> bool {
        true
    }

    /// How much the hooks observe of sessions that succeed. Those that were refused, got no backend or were reset by it are
    /// observed in any case. Default: [`Observation::Everything`]. Asked several times in each session.
    fn observes(&self) -> Observation {
        Observation::Everything
    }

    /// A limit would have refused the connection, but is only observed: see
    /// [`Listener::limit_dry_run`](crate::Listener::limit_dry_run).
    fn would_refuse(&self, connection: &Connection, detail: &RefusalDetail) {
        let _ = (connection, detail);
    }

    /// A connection was accepted and is within the limits. A refused one is closed as
    /// [`Listener::on_refusal`](crate::Listener::on_refusal) says. A decision that has to wait, such as for a look-up, is
    /// [`Admission::later`].
    fn accept(&self, connection: &Connection) -> Admission {
        let _ = connection;
        Admission::Admit
    }

    /// An attempt to connect to a backend ended.
    fn attempt(&self, connection: &Connection, attempt: &Attempt<'_>) {
        let _ = (connection, attempt);
    }

    /// The session is connected to its backend; bytes flow from now on.
    fn connected(&self, connection: &Connection, upstream: &Upstream, backend: &Backend) {
        let _ = (connection, upstream, backend);
    }

    /// The session relays and has lasted for another [`Listener::report_interval`](crate::Listener::report_interval).
    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        let _ = (connection, progress);
    }

    /// The connection ended, for any reason. Called once for each that was accepted, those refused included.
    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        let _ = (connection, summary);
    }
}
