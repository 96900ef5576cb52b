//! Settings of a listener's sessions: time-outs, half-close, splice, retry.

use std::time::Duration;

/// The time-outs of a session.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timeouts {
    /// The time-out of one attempt to connect to a backend. Default: 5 s.
    ///
    /// Raise it only for backends that are far away: the client waits meanwhile, and the next backend is not tried.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub connect: Duration,
    /// How long both directions may be silent while both are open, before the session ends. Default: 10 minutes, nginx's
    /// `proxy_timeout`. `None`: no limit, which keeps the sockets of peers that vanished.
    ///
    /// While the relay holds bytes for a peer, the peer makes progress when its kernel accepts some. A receiving kernel
    /// advertises window space only when about half of its buffer is free, so a slow reader seems to make no progress
    /// meanwhile. If both sides are connected the session then ends, as in nginx: the bytes in the kernel's send queue are
    /// delivered, the bytes that the relay holds are lost.
    ///
    /// After a reset, and when the session is cut or has ended, the kernel of a peer may answer and accept no bytes for this
    /// time, but at least for a minute, and with `None` for a minute. Then the peer is reset. So acknowledged bytes are lost
    /// only to a reader that needs more than a minute for half of its buffer. The time counts from the last progress, also
    /// if that was before the end. If the peer's kernel does not answer, this time-out alone applies. If the session is
    /// over for the backend, its lease is released meanwhile.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub idle: Option<Duration>,
    /// How long the remaining direction may be silent after the other one has ended. Default: 1 minute. `None`: no limit.
    ///
    /// Each byte restarts it, so a long response to a half-closed request is delivered.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub half_closed: Option<Duration>,
    /// How long both sides may be silent after the backend is connected, before the first byte or end. Then the session
    /// ends like an idle one. Default: `None`, no limit.
    ///
    /// Set it shorter than `idle` where every client or server sends soon: it closes connections that are only held open.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub first_byte: Option<Duration>,
    /// How long a session may last after the backend is connected, even if bytes move. Default: `None`, no limit.
    ///
    /// Then both sides are reset, each after the bytes that were acknowledged before; a side that has ended its stream is
    /// not reset. The limit moves long-lived sessions to new backends.
    #[doc(alias = "max_downstream_connection_duration")]
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub max_age: Option<Duration>,
    /// The upper bound of a random duration that is added to `max_age`. Default: zero.
    ///
    /// It spreads the ends of sessions that began together.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub max_age_jitter: Duration,
}

impl Timeouts {
    /// Sets [`connect`](field@Self::connect).
    #[must_use]
    pub fn connect(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// Sets [`idle`](field@Self::idle).
    #[must_use]
    pub fn idle(mut self, timeout: Option<Duration>) -> Self {
        self.idle = timeout;
        self
    }

    /// Sets [`half_closed`](field@Self::half_closed).
    #[must_use]
    pub fn half_closed(mut self, timeout: Option<Duration>) -> Self {
        self.half_closed = timeout;
        self
    }

    /// Sets [`first_byte`](field@Self::first_byte).
    #[must_use]
    pub fn first_byte(mut self, timeout: Option<Duration>) -> Self {
        self.first_byte = timeout;
        self
    }

    /// Sets [`max_age`](field@Self::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Sets [`max_age_jitter`](field@Self::max_age_jitter).
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

/// What a session does when one side's stream has ended.
#[doc(alias = "proxy_half_close")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HalfClose {
    /// Forwards the end and relays the other direction until it ends as well or is silent for
    /// [`Timeouts::half_closed`]. The default.
    #[default]
    Allow,
    /// Ends the session once both sides have the bytes that had arrived for them: nginx's default. A client that ends its
    /// stream behind its request gets no later response.
    ///
    /// Bytes that a side sends after the other one has ended are discarded. The side still receives its own last bytes if
    /// its kernel acknowledges them within 5 s, or within the idle time-out if that is shorter: only then its socket is
    /// closed, because a reset would overtake the bytes. After that time, and when the server drains, the kernel goes on
    /// delivering unless the side sends more. nginx closes at once and loses the bytes.
    End,
}

/// Whether long transfers use splice(2), which moves pages from socket to socket instead of copying bytes.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Splice {
    /// Splices transfers that are long enough to gain from it, if the system supports it and has a pipe left. The default.
    ///
    /// The process must ignore SIGPIPE, as every Rust program does by default: splice(2) raises it for a connection that
    /// was reset.
    #[default]
    Auto,
    /// Copies every transfer. For comparisons, or for a kernel with a defective splice(2).
    Off,
}

/// How often and how long a session tries other backends after a failed attempt to connect.
///
/// A session tries each backend at most once, and none after it has relayed a byte.
#[doc(alias = "proxy_next_upstream")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retry {
    /// The number of attempts at most, the first included. Default: `None`, every backend once.
    /// [`ProxyBuilder::build`](crate::ProxyBuilder::build) refuses 0, and [`Connect`](crate::Connect) makes one attempt.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalPositive::<u32>")
    )]
    pub tries: Option<u32>,
    /// The time for all attempts together, including the wait for the first membership. Default: 15 s.
    ///
    /// With `None` only the time-outs of the attempts apply, and a wait for the first membership is limited to 60 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub deadline: Option<Duration>,
    /// Whether `deadline` also ends an attempt that is in progress. Default: yes. With no, only
    /// [`Timeouts::connect`] ends an attempt, and no further one begins after the deadline, as in nginx.
    pub ends_attempts: bool,
}

impl Retry {
    /// Sets [`ends_attempts`](field@Self::ends_attempts).
    #[must_use]
    pub fn ends_attempts(mut self, ends_attempts: bool) -> Self {
        self.ends_attempts = ends_attempts;
        self
    }

    /// Sets [`tries`](field@Self::tries).
    #[must_use]
    pub fn tries(mut self, tries: impl Into<Option<u32>>) -> Self {
        self.tries = tries.into();
        self
    }

    /// Sets [`deadline`](field@Self::deadline).
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
            ends_attempts: true,
        }
    }
}

/// How the proxy closes a client that it refuses or has no backend for. To let clients wait for a backend instead, give the
/// upstream a [`Queue`](crate::balancing::Queue).
#[doc(alias = "OnNoBackend")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnRefusal {
    /// Closes the socket, as nginx does. The client sees the end of its stream, which some protocols take for a short but
    /// complete answer. It sees a reset if it has sent bytes that were not read, or that a preread left for the backend.
    Close,
    /// Resets the connection. The default.
    #[default]
    Reset,
}
