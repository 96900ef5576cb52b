//! The description of one backend.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::backend_extras::{Extras, UnixSocket};
use crate::endpoint::Endpoint;
use crate::fail_limit::FailLimit;

/// One server that connections may go to.
///
/// The address is the identity: everything else may change from one [`Snapshot`](crate::Snapshot) to the next
/// and the backend keeps its state (connections in flight, failures, connect times). Only a new
/// [`instance`](Self::instance) at an old address starts afresh.
#[doc(alias = "endpoint", alias = "peer", alias = "server")]
#[non_exhaustive]
#[derive(Clone, Debug, Eq)]
pub struct Backend {
    /// Where to connect to. For a [unix socket](Self::unix) the [key](Endpoint::unix_key) of its path, which stands for the
    /// path wherever backends are known by address. Another address makes it a backend at that address.
    pub addr: SocketAddr,
    extras: Extras,
    /// Its name where it was configured or discovered: a host name, a pod, a node. Shown in logs, and the key of
    /// consistent hashing. Default: none, then the address is used.
    pub name: Option<Arc<str>>,
    /// Which source reported it. Default: none.
    pub source: Option<Arc<str>>,
    /// Its share among the backends of its priority. Default: 1.
    pub weight: Weight,
    /// Whether it takes new connections at all. Default: [`AdminState::Ready`].
    pub admin: AdminState,
    /// The tier it belongs to. Default: [`Priority::PRIMARY`].
    pub priority: Priority,
    /// The most connections in flight. Default: no limit.
    pub max_conns: Option<NonZeroU32>,
    /// How many failures eject it, and for how long. Default: nginx's, one failure and ten seconds. With `None`
    /// failures never eject it, as `max_fails=0`.
    pub fail_limit: Option<FailLimit>,
    /// Its failure domain. Default: none.
    pub zone: Option<Arc<str>>,
    /// The zones whose clients should use it, from Kubernetes' topology hints. Default: empty, which means all.
    pub for_zones: Arc<[Arc<str>]>,
    /// The machine that it runs on. Default: none.
    pub node: Option<Arc<str>>,
    /// Its incarnation, such as a pod's UID. Default: none.
    pub instance: Option<Arc<str>>,
}

impl Backend {
    /// A backend at `addr`, everything else at its default.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            extras: Extras::default(),
            name: None,
            source: None,
            weight: Weight::default(),
            admin: AdminState::Ready,
            priority: Priority::PRIMARY,
            max_conns: None,
            fail_limit: Some(FailLimit::default()),
            zone: None,
            for_zones: Arc::default(),
            node: None,
            instance: None,
        }
    }

    /// A backend at the unix socket `path`, everything else at its default.
    pub fn unix(path: impl Into<Arc<Path>>) -> Self {
        let path = path.into();
        let key = Endpoint::unix_key(&path);
        Self {
            extras: Extras::of_unix(UnixSocket { path, key }),
            ..Self::new(key)
        }
    }

    /// The path of its unix socket, if it is reached at one.
    pub fn unix_path(&self) -> Option<&Arc<Path>> {
        let unix = self.extras.unix()?;
        (unix.key == self.addr).then_some(&unix.path)
    }

    /// Where to connect to, for connecting and for display.
    pub fn endpoint(&self) -> Endpoint {
        match self.unix_path() {
            Some(path) => Endpoint::Unix(Arc::clone(path)),
            None => Endpoint::Tcp(self.addr),
        }
    }

    /// Sets [`name`](field@Self::name).
    #[must_use]
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets [`source`](field@Self::source).
    #[must_use]
    pub fn source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets [`weight`](field@Self::weight).
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// Sets [`admin`](field@Self::admin).
    #[must_use]
    pub fn admin(mut self, admin: AdminState) -> Self {
        self.admin = admin;
        self
    }

    /// Sets [`priority`](field@Self::priority).
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets [`max_conns`](field@Self::max_conns). 0 is no limit, as in nginx and HAProxy.
    #[must_use]
    pub fn max_conns(mut self, max_conns: u32) -> Self {
        self.max_conns = NonZeroU32::new(max_conns);
        self
    }

    /// Sets [`fail_limit`](field@Self::fail_limit).
    #[must_use]
    pub fn fail_limit(mut self, fail_limit: Option<FailLimit>) -> Self {
        self.fail_limit = fail_limit;
        self
    }

    /// Sets [`zone`](field@Self::zone).
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets [`for_zones`](field@Self::for_zones).
    #[must_use]
    pub fn for_zones(mut self, for_zones: impl Into<Arc<[Arc<str>]>>) -> Self {
        self.for_zones = for_zones.into();
        self
    }

    /// Sets [`node`](field@Self::node).
    #[must_use]
    pub fn node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets [`instance`](field@Self::instance).
    #[must_use]
    pub fn instance(mut self, instance: impl Into<Arc<str>>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Attaches data of the embedder, which policies, hooks and status pages find by its type in [`data`](Self::data). It replaces
    /// what was attached before, and is no part of the equality: a snapshot that differs in it alone changes nothing, and the
    /// backend keeps what it came with until something else changes. Cloning a backend costs one reference count more.
    ///
    /// ```
    /// use lb_core::Backend;
    ///
    /// /// Where a backend stands.
    /// struct Rack(u32);
    ///
    /// let backend: Backend = "10.0.0.1:446".parse()?;
    /// let backend = backend.with_data(Rack(7));
    /// assert_eq!(backend.data::<Rack>().map(|rack| rack.0), Some(7));
    /// # Ok::<(), lb_core::BackendParseError>(())
    /// ```
    #[must_use]
    pub fn with_data<T: Send + Sync + 'static>(mut self, data: T) -> Self {
        self.extras.set_data(data);
        self
    }

    /// Attaches data as [`with_data`](Self::with_data) does, which is a part of the equality: a snapshot in which it differs is a
    /// change.
    ///
    /// # Panics
    ///
    /// Not here. Wherever two such backends are compared, a comparison that panics is one of the caller: of
    /// [`Updater::apply`](crate::Updater::apply), which changes nothing then.
    #[must_use]
    pub fn with_compared_data<T: PartialEq + Send + Sync + 'static>(mut self, data: T) -> Self {
        self.extras.set_compared_data(data);
        self
    }

    /// The embedder's data of type `T`. `None` if there is none, or of another type.
    pub fn data<T: 'static>(&self) -> Option<&T> {
        self.extras.data()
    }

    /// Whether its configuration lets it take new connections: it is ready, and its weight is not zero.
    pub fn takes_connections(&self) -> bool {
        self.admin == AdminState::Ready && self.weight != Weight::ZERO
    }
}

impl PartialEq for Backend {
    /// Every field. Snapshots of ten thousand backends are compared at each answer of a source, and many backends have no texts at
    /// all: one branch decides that, instead of one for each field.
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
            && (self.weight, self.admin, self.priority)
                == (other.weight, other.admin, other.priority)
            && (self.max_conns, self.fail_limit) == (other.max_conns, other.fail_limit)
            && ((self.is_bare() & other.is_bare()) || self.has_rest_of(other))
    }
}

impl Backend {
    /// Whether it has nothing but an address and numbers.
    #[inline]
    fn is_bare(&self) -> bool {
        self.extras.is_none()
            & self.name.is_none()
            & self.source.is_none()
            & self.zone.is_none()
            & self.for_zones.is_empty()
            & self.node.is_none()
            & self.instance.is_none()
    }

    /// Whether what is not compared with the numbers is equal.
    #[inline(never)]
    fn has_rest_of(&self, other: &Self) -> bool {
        let Self {
            addr: _,
            extras,
            name,
            source,
            weight: _,
            admin: _,
            priority: _,
            max_conns: _,
            fail_limit: _,
            zone,
            for_zones,
            node,
            instance,
        } = self;
        (extras, name, source) == (&other.extras, &other.name, &other.source)
            && (zone, for_zones, node, instance)
                == (&other.zone, &other.for_zones, &other.node, &other.instance)
    }
}

/// A backend's share of new connections, relative to the others of its priority.
///
/// Zero is legal and takes no new connections, like [`AdminState::Drain`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Weight(u16);

impl Weight {
    /// No new connections.
    pub const ZERO: Self = Self(0);

    /// The weight `value`.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The weight as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl From<u16> for Weight {
    fn from(value: u16) -> Self {
        Self(value)
    }
}

/// What discovery or an operator requests of a backend; health checks never set it.
#[doc(alias = "down", alias = "DRAIN", alias = "MAINT")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AdminState {
    /// No new connections; existing ones continue. nginx's `down`, HAProxy's `DRAIN`.
    Drain,
    /// Takes new connections.
    Ready,
}

crate::names::names!(AdminState {
    Drain = "drain",
    Ready = "ready",
});

/// What an active check found of a backend. A backend without checks is healthy.
#[doc(alias = "health check", alias = "active check")]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Health {
    /// It answers.
    #[default]
    Healthy,
    /// No check has found anything yet, and the backend has to wait for the first: it gets no new connections, except in
    /// panic mode. See [`BalancerConfig::initial_health`](field@crate::BalancerConfig::initial_health).
    Unchecked,
    /// It does not answer: it gets no new connections, except in panic mode.
    Unhealthy,
}

crate::names::names!(Health {
    Healthy = "healthy",
    Unchecked = "unchecked",
    Unhealthy = "unhealthy",
});

/// The tier of a backend: 0 is used first, 1 when no backend of 0 is eligible, and so on.
///
/// nginx's `backup` is [`Priority::BACKUP`].
#[doc(alias = "backup", alias = "priority level")]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Priority(u8);

impl Priority {
    /// Used while any of its backends is eligible.
    pub const PRIMARY: Self = Self(0);
    /// Used when no primary backend is eligible.
    pub const BACKUP: Self = Self(1);

    /// The tier `level`, counted from 0 (first).
    pub const fn new(level: u8) -> Self {
        Self(level)
    }

    /// The tier's level.
    pub const fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_that_differ_in_any_field_are_not_equal() {
        let bare = Backend::new(SocketAddr::from(([127, 0, 0, 1], 446)));
        let named = bare
            .clone()
            .name("a")
            .source("a")
            .zone("a")
            .node("a")
            .instance("a");
        for backend in [bare, named] {
            assert_eq!(backend, backend.clone());
            let zones: Arc<[Arc<str>]> = Arc::from([Arc::from("b")]);
            let fail_limit = FailLimit::new(NonZeroU32::MAX, std::time::Duration::ZERO);
            for other in [
                Backend {
                    addr: SocketAddr::from(([127, 0, 0, 1], 447)),
                    ..backend.clone()
                },
                Backend {
                    addr: backend.addr,
                    ..Backend::unix(Path::new("/run/echo.sock"))
                },
                backend.clone().name("b"),
                backend.clone().source("b"),
                backend.clone().weight(Weight::new(2)),
                backend.clone().admin(AdminState::Drain),
                backend.clone().priority(Priority::BACKUP),
                backend.clone().max_conns(1),
                backend.clone().fail_limit(Some(fail_limit)),
                backend.clone().zone("b"),
                backend.clone().for_zones(zones),
                backend.clone().node("b"),
                backend.clone().instance("b"),
            ] {
                assert_ne!(backend, other);
                assert_ne!(other, backend);
            }
        }
    }

    #[test]
    fn a_path_and_an_address_never_disagree() {
        let mut backend = Backend::unix(Path::new("/run/echo.sock"));
        assert_eq!(backend.endpoint().to_string(), "unix:/run/echo.sock");
        assert_eq!(backend.endpoint().key(), backend.addr);
        for addr in [
            SocketAddr::from(([127, 0, 0, 1], 446)),
            Endpoint::unix_key(Path::new("/run/other.sock")),
        ] {
            backend.addr = addr;
            assert_eq!(backend.unix_path(), None);
            assert_eq!(backend.endpoint(), Endpoint::Tcp(addr));
        }
    }
}
