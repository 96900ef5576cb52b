//! Settings of a listener's sessions.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long a session may wait for what.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For one attempt to connect to a backend. Default: 5 s. Raise it only for backends that are far away: while
    /// it runs the client waits, and the next backend is not tried.
    pub connect: Duration,
    /// For a byte in either direction while both are open; then the session ends. Default: 10 minutes, nginx's
    /// `proxy_timeout`. `None` waits for ever, and keeps the sockets of peers that vanished.
    ///
    /// A peer that bytes are held for makes progress when it takes some from the kernel. A receiver reports room only when
    /// about half of its buffer is free, so that a slow reader seems to take nothing meanwhile. As nginx does, the session
    /// ends then if both sides are connected: what the kernel has for the peer is delivered, what is held is lost.
    ///
    /// After a reset, and when the session is cut or has ended, a peer whose kernel answers may take nothing for this
    /// time, but for a minute at the least, and also with `None` for a minute; then it is reset. So the bytes that were
    /// acknowledged are lost only to a reader that needs more than a minute for half of its buffer. The time counts from
    /// the last progress, also if that was before the end. A kernel that does not answer has the time-out alone. In a
    /// session that is over for the backend, the backend is free meanwhile.
    pub idle: Option<Duration>,
    /// For a byte in the direction that is left after the other has ended. Default: 1 minute. Bytes reset it, so a
    /// long answer to a half-closed request goes through.
    pub half_closed: Option<Duration>,
    /// From connecting to the backend until the first byte or end, of whichever side; then the session ends like an
    /// idle one. Default: `None`. Set it shorter than `idle` where every client or server speaks up soon: it sheds
    /// clients that only hold connections.
    pub first_byte: Option<Duration>,
    /// From connecting to the backend to the end, whatever still moves; then both sides are reset, but for one whose
    /// stream has ended, each after the bytes that were acknowledged before. Default: `None`. It moves long-lived
    /// sessions on to new backends.
    #[doc(alias = "max_downstream_connection_duration")]
    pub max_age: Option<Duration>,
    /// A random part of it is added to `max_age`, so that sessions that began together do not end together. Default:
    /// zero.
    pub max_age_jitter: Duration,
}

impl Timeouts {
    /// Sets [`connect`](Self::connect).
    #[must_use]
    pub fn connect(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(mut self, timeout: Option<Duration>) -> Self {
        self.idle = timeout;
        self
    }

    /// Sets [`half_closed`](Self::half_closed).
    #[must_use]
    pub fn half_closed(mut self, timeout: Option<Duration>) -> Self {
        self.half_closed = timeout;
        self
    }

    /// Sets [`first_byte`](Self::first_byte).
    #[must_use]
    pub fn first_byte(mut self, timeout: Option<Duration>) -> Self {
        self.first_byte = timeout;
        self
    }

    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Sets [`max_age_jitter`](Self::max_age_jitter).
    #[must_use]
    pub fn max_age_jitter(mut self, jitter: Duration) -> Self {
        self.max_age_jitter = jitter;
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Some(Duration::from_secs(600)),
            half_closed: Some(Duration::from_secs(60)),
            first_byte: None,
            max_age: None,
            max_age_jitter: Duration::ZERO,
        }
    }
}

/// What the end of one side's stream means for the session.
#[doc(alias = "proxy_half_close")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HalfClose {
    /// It is passed on, and the other direction goes on until it ends as well or is silent for
    /// [`Timeouts::half_closed`]. The default.
    #[default]
    Allow,
    /// It ends the session, once both sides have what had arrived for them: nginx's default. A client that ends behind its
    /// request gets no answer that comes later.
    ///
    /// What a side still sends after the other one has ended is thrown away. It does not cost that side its own last
    /// bytes as long as its kernel acknowledges them within 5 s, or the idle time-out if that is shorter: its socket
    /// is closed after that, and not while a reset would overtake them. Then, and when the server drains, the kernel
    /// goes on, unless the side sends more. nginx closes at once and loses them.
    End,
}

/// Whether long transfers go through splice(2), which hands pages from socket to socket instead of copying them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Splice {
    /// Transfers that are long enough to gain by it, where the system can do it and has a pipe left. The default.
    ///
    /// The process must ignore SIGPIPE, as every Rust program does unless it says otherwise: splice(2) raises it for a
    /// connection that was reset.
    #[default]
    Auto,
    /// None. To compare, or where a kernel is not to be trusted with it.
    Off,
}

/// When a connection that failed is tried on another backend.
///
/// No backend is tried twice by one session, and none after a byte has been relayed.
#[doc(alias = "proxy_next_upstream")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    /// Attempts at the most, the first included. Default: `None`, every backend once.
    pub tries: Option<NonZeroU32>,
    /// For all attempts together, and for the first membership where none is known yet. Default: 15 s. `None`
    /// leaves only the time-outs of the attempts, but never waits longer than 60 s for a first membership.
    pub deadline: Option<Duration>,
}

impl Retry {
    /// Sets [`tries`](Self::tries).
    #[must_use]
    pub fn tries(mut self, tries: Option<NonZeroU32>) -> Self {
        self.tries = tries;
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn deadline(mut self, deadline: Option<Duration>) -> Self {
        self.deadline = deadline;
        self
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: None,
            deadline: Some(Duration::from_secs(15)),
        }
    }
}

/// What a client sees if no backend can serve it. To let clients wait instead, give the upstream a
/// [`Queue`](crate::Queue).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnNoBackend {
    /// The end of the stream without an answer, as with nginx. Some protocols take it for a short but complete answer.
    Close,
    /// A reset. The default.
    #[default]
    Reset,
}
