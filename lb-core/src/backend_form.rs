//! Backends, endpoints and snapshots in files of settings.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::backend::{AdminState, Backend, Priority, Weight};
use crate::endpoint::Endpoint;
use crate::fail_limit::FailLimit;
use crate::serde_form::{OptionalDuration, Switch};
use crate::snapshot::Snapshot;

/// A backend with its fields. A field that is left out has the default of [`Backend::new`].
#[derive(serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "BackendFields"))]
#[serde(deny_unknown_fields, expecting = "a backend with its fields")]
struct BackendForm {
    /// `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    #[serde(deserialize_with = "deserialize_addr")]
    addr: Endpoint,
    /// Its name in logs, and the key of consistent hashing. Default: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
    /// Its share among the backends of its priority, from 0 (no new connections) to 65535. Default: 1.
    #[serde(default, skip_serializing_if = "is_default")]
    weight: Weight,
    /// Whether it takes new connections. Default: `ready`.
    #[serde(alias = "admin", default = "ready", skip_serializing_if = "is_ready")]
    state: AdminState,
    /// The tier: 0 first, then 1, up to 255. Default: 0.
    #[serde(default, skip_serializing_if = "is_default")]
    priority: Priority,
    /// The most connections in flight; 0 or false for no limit. Default: no limit.
    #[serde(
        default,
        deserialize_with = "deserialize_max_conns",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Switch::<u32>"))]
    max_conns: Option<NonZeroU32>,
    /// How many failures eject it; 0 never does. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_fails: Option<u32>,
    /// For how long failures eject it. Default: 10s.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "OptionalDuration"
    )]
    fail_timeout: Option<Duration>,
    /// Its failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<Arc<str>>,
    /// The zones whose clients should use it. Default: all.
    #[serde(default, skip_serializing_if = "is_default")]
    for_zones: Arc<[Arc<str>]>,
    /// The machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Arc<str>>,
    /// Its incarnation: a new one at an old address starts afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<Arc<str>>,
    /// Where it comes from. Default: the label of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Arc<str>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn ready() -> AdminState {
    AdminState::Ready
}

fn is_ready(state: &AdminState) -> bool {
    *state == AdminState::Ready
}

fn deserialize_max_conns<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonZeroU32>, D::Error> {
    let most: Option<u32> = Switch::deserialize(deserializer)?;
    Ok(most.and_then(NonZeroU32::new))
}

/// As an [`Endpoint`] that can be connected to.
fn deserialize_addr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Endpoint, D::Error> {
    usable(&String::deserialize(deserializer)?)
}

fn usable<E: Error>(text: &str) -> Result<Endpoint, E> {
    let endpoint = parse_endpoint(text).filter(|endpoint| match endpoint {
        Endpoint::Tcp(addr) => addr.port() != 0 && !addr.ip().is_unspecified(),
        Endpoint::Unix(_) => true,
    });
    endpoint.ok_or_else(|| {
        E::custom(format!(
            "{text:?} is no IP address with a port, such as 10.0.0.1:446 or [2001:db8::1]:446, and no unix:PATH"
        ))
    })
}

fn parse_endpoint(text: &str) -> Option<Endpoint> {
    match text.strip_prefix("unix:") {
        Some("") => None,
        Some(path) => Some(Endpoint::Unix(Path::new(path).into())),
        None => text.parse().ok().map(Endpoint::Tcp),
    }
}

impl From<BackendForm> for Backend {
    fn from(form: BackendForm) -> Self {
        let default = FailLimit::default();
        let max_fails = form
            .max_fails
            .map_or(Some(default.max_fails), NonZeroU32::new);
        let fail_timeout = form.fail_timeout.unwrap_or(default.fail_timeout);
        let mut backend = match form.addr {
            Endpoint::Tcp(addr) => Self::new(addr),
            Endpoint::Unix(path) => Self::unix(path),
        };
        backend.name = form.name;
        backend.weight = form.weight;
        backend.admin = form.state;
        backend.priority = form.priority;
        backend.max_conns = form.max_conns;
        backend.fail_limit = max_fails.map(|most| FailLimit::new(most, fail_timeout));
        backend.zone = form.zone;
        backend.for_zones = form.for_zones;
        backend.node = form.node;
        backend.instance = form.instance;
        backend.source = form.source;
        backend
    }
}

impl From<&Backend> for BackendForm {
    fn from(backend: &Backend) -> Self {
        let is_default = backend.fail_limit == Some(FailLimit::default());
        let limit = backend.fail_limit.filter(|_| !is_default);
        let never = backend.fail_limit.is_none().then_some(0);
        Self {
            addr: backend.endpoint(),
            name: backend.name.clone(),
            weight: backend.weight,
            state: backend.admin,
            priority: backend.priority,
            max_conns: backend.max_conns,
            max_fails: limit.map(|limit| limit.max_fails.get()).or(never),
            fail_timeout: limit.map(|limit| limit.fail_timeout),
            zone: backend.zone.clone(),
            for_zones: Arc::clone(&backend.for_zones),
            node: backend.node.clone(),
            instance: backend.instance.clone(),
            source: backend.source.clone(),
        }
    }
}

/// The fields that differ from those of [`Backend::new`].
impl Serialize for Backend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BackendForm::from(self).serialize(serializer)
    }
}

/// Its fields, or `IP:PORT`, `[IPv6]:PORT` or `unix:PATH` alone. Neither the port 0 nor an unspecified address is one of a
/// backend.
impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BackendVisitor;
        impl<'de> Visitor<'de> for BackendVisitor {
            type Value = Backend;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a backend with its fields, or its address")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Backend, E> {
                usable(text).map(Backend::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Backend, A::Error> {
                BackendForm::deserialize(MapAccessDeserializer::new(map)).map(Backend::from)
            }
        }
        deserializer.deserialize_any(BackendVisitor)
    }
}

/// `192.0.2.1:446`, `[2001:db8::1]:446` or `unix:/run/echo.sock`. A path that is not UTF-8 cannot be written.
impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tcp(addr) => serializer.collect_str(addr),
            Self::Unix(path) => {
                let path = path.to_str();
                let path =
                    path.ok_or_else(|| serde::ser::Error::custom("the path is not UTF-8"))?;
                serializer.collect_str(&format_args!("unix:{path}"))
            }
        }
    }
}

/// The same texts.
impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_endpoint(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no address to listen on or to connect to: write IP:PORT, [IPv6]:PORT or unix:PATH"
            ))
        })
    }
}

/// The list of its backends.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A list of backends. Two with one address are an error.
impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Snapshot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of backends")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Snapshot, A::Error> {
        let mut seen: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        let mut read: Vec<Backend> = Vec::new();
        while let Some(backend) = entries.next_element::<Backend>()? {
            let number = read.len() + 1;
            if let Some(first) = seen.insert(backend.addr, number) {
                let endpoint = backend.endpoint();
                let problem = format!("backends {first} and {number} are both {endpoint}");
                return Err(A::Error::custom(problem));
            }
            read.push(backend);
        }
        Ok(read.into_iter().collect())
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::BackendForm;
    use crate::backend::Backend;
    use crate::endpoint::Endpoint;
    use crate::snapshot::Snapshot;

    impl JsonSchema for Endpoint {
        fn schema_name() -> Cow<'static, str> {
            "Endpoint".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "IP:PORT, [IPv6]:PORT or unix:PATH.",
                "type": "string",
            })
        }
    }

    impl JsonSchema for Backend {
        fn schema_name() -> Cow<'static, str> {
            "Backend".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let addr = generator.subschema_for::<Endpoint>();
            let fields = generator.subschema_for::<BackendForm>();
            json_schema!({ "anyOf": [addr, fields] })
        }
    }

    impl JsonSchema for Snapshot {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "Snapshot".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            <Vec<Backend>>::json_schema(generator)
        }
    }
}
