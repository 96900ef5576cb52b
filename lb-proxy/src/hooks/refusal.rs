//! Details of the ends before the relay.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::no_backend_cause::NoBackendCause;
use crate::preread::PrereadError;

/// Why a client got no service, in more detail than [`CloseReason`](crate::events::CloseReason) has.
#[non_exhaustive]
#[derive(Debug)]
pub enum RefusalDetail {
    /// A limit of the client was reached.
    ClientLimit {
        /// Which one, counted from 0 in the order of [`Listener::limit_clients`](crate::Listener::limit_clients).
        limit: usize,
    },
    /// There was no backend.
    NoBackend(NoBackendCause),
    /// The first bytes were refused, or did not come in time.
    Preread(PrereadRefusal),
    /// The route passes the client to an address that no listener has.
    NoListener(SocketAddr),
    /// Too many listeners have passed the client on.
    PassedTooOften,
    /// The route refused the client for this reason.
    Route(Cow<'static, str>),
}

/// The refusal of a client for its first bytes.
#[non_exhaustive]
#[derive(Debug)]
pub struct PrereadRefusal {
    /// The reader, counted from 0 in the order of [`Listener::preread`](crate::Listener::preread).
    pub reader: usize,
    /// Whether the reader [names the client](crate::first_bytes::Preread::names_client), as one of PROXY headers does.
    pub names_client: bool,
    /// What was wrong.
    pub failure: PrereadFailure,
    /// The error of the reader or of the kernel, if there is one.
    pub error: Option<PrereadError>,
    /// The bytes that had arrived for the reader.
    pub bytes: Vec<u8>,
}

/// What was wrong with the first bytes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PrereadFailure {
    /// The client ended its stream before they were complete.
    Ended,
    /// The reader refused them.
    Invalid,
    /// The client's socket failed, with the number of the system error: the client reset its connection.
    Socket(Option<i32>),
    /// They did not come in time.
    Timeout,
    /// They were longer than the reader's [limit](crate::first_bytes::Preread::limit).
    TooLong,
}
