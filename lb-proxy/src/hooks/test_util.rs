//! Constructors of what hooks observe, for unit tests of hooks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;

use super::attempt::{Attempt, AttemptError, AttemptOutcome, AttemptReport};
use super::progress::Progress;
use super::refusal::{PrereadFailure, PrereadRefusal};
use super::summary::Summary;
use crate::close_reason::CloseReason;
use crate::live_sessions::SessionPhase;
use crate::net::connect::AttemptStep;
use crate::session_id::SessionId;
use crate::upstream::Upstream;

impl<'a> Attempt<'a> {
    /// An attempt without an error, which took no time; set its fields. Available with the feature `test-util`.
    pub const fn new(
        upstream: &'a Upstream,
        backend: &'a Backend,
        outcome: AttemptOutcome,
    ) -> Self {
        Self {
            upstream,
            backend,
            outcome,
            error: None,
            ejects: false,
            elapsed: Duration::ZERO,
            socket: None,
        }
    }
}

impl AttemptError {
    /// `error` of `step`. Available with the feature `test-util`.
    pub fn of(step: AttemptStep, error: &io::Error) -> Self {
        Self {
            step,
            kind: error.kind(),
            errno: error.raw_os_error(),
        }
    }
}

impl AttemptReport {
    /// An attempt without an error, which took no time; set its fields. Available with the feature `test-util`.
    pub const fn new(backend: Arc<Backend>, outcome: AttemptOutcome) -> Self {
        Self {
            backend,
            outcome,
            error: None,
            began_after: None,
            connected_after: None,
            first_byte_after: None,
            elapsed: Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }
}

impl<'a> Progress<'a> {
    /// A session that has moved no byte; set its fields. Available with the feature `test-util`.
    pub const fn new(id: SessionId, upstream: &'a Upstream, backend: &'a Backend) -> Self {
        Self {
            id,
            upstream,
            backend,
            attempts: &[],
            elapsed: Duration::ZERO,
            connected_after: Duration::ZERO,
            bytes_from_client: 0,
            bytes_to_backend: 0,
            bytes_to_client: 0,
        }
    }
}

impl PrereadRefusal {
    /// A refusal by the reader of this number, without an error and bytes; set its fields. Available with the feature
    /// `test-util`.
    pub const fn new(reader: usize, failure: PrereadFailure) -> Self {
        Self {
            reader,
            names_client: false,
            failure,
            error: None,
            bytes: Vec::new(),
        }
    }
}

impl Summary<'_> {
    /// The end of a connection that was refused at once; set its fields. Available with the feature `test-util`.
    ///
    /// ```
    /// use lb_proxy::Hooks;
    /// use lb_proxy::events::{CloseReason, Connection, Summary};
    /// use lb_proxy::reports::SessionId;
    /// # use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// /// Hooks that sum up bytes.
    /// #[derive(Debug, Default)]
    /// struct Bytes(AtomicU64);
    ///
    /// impl Hooks for Bytes {
    ///     fn close(&self, _: &Connection, summary: &Summary<'_>) {
    ///         self.0.fetch_add(summary.bytes_to_client, Relaxed);
    ///     }
    /// }
    ///
    /// let client = Connection::new("192.0.2.1:5000".parse()?, "192.0.2.9:446".parse()?);
    /// let mut summary = Summary::new(SessionId::new(1), CloseReason::Finished);
    /// summary.bytes_to_client = 7;
    /// let hooks = Bytes::default();
    /// hooks.close(&client, &summary);
    /// assert_eq!(hooks.0.load(Relaxed), 7);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn new(id: SessionId, reason: CloseReason) -> Self {
        Self {
            id,
            reason,
            phase: SessionPhase::default(),
            refusal: None,
            observed: None,
            upstream: None,
            backend: None,
            attempts: &[],
            elapsed: Duration::ZERO,
            connected_after: None,
            bytes_from_client: 0,
            bytes_to_backend: 0,
            bytes_to_client: 0,
            client_ended_after: None,
            backend_ended_after: None,
        }
    }
}
