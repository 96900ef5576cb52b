//! Policies with their settings, as data.

use std::sync::Arc;

use super::{Ketama, LeastTime, Maglev, Policy, PolicyKind, Rendezvous, RingHash};

/// A policy of this crate with its settings.
///
/// With the feature `serde`, a file has the name alone for the default settings, or one name with its settings:
///
/// ```yaml
/// policy: least_conn
/// policy: { maglev: { table_size: 655373, balance_factor: 125 } }
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicySettings {
    /// [`First`](super::First)
    First,
    /// [`Ketama`]
    Ketama(Ketama),
    /// [`LeastConn`](super::LeastConn)
    LeastConn,
    /// [`LeastTime`]
    LeastTime(LeastTime),
    /// [`Maglev`]
    Maglev(Maglev),
    /// [`NginxHash`](super::NginxHash)
    NginxHash,
    /// [`P2c::least_conn`](super::P2c::least_conn), the default
    P2c,
    /// [`P2c::peak_ewma`](super::P2c::peak_ewma)
    P2cPeakEwma,
    /// [`WeightedRandom`](super::WeightedRandom)
    Random,
    /// [`RandomTwo`](super::RandomTwo)
    RandomTwo,
    /// [`Rendezvous`]
    Rendezvous(Rendezvous),
    /// [`RingHash`]
    RingHash(RingHash),
    /// [`WeightedRoundRobin`](super::WeightedRoundRobin)
    WeightedRoundRobin,
}

impl PolicySettings {
    /// The policy's kind.
    pub const fn kind(self) -> PolicyKind {
        match self {
            Self::First => PolicyKind::First,
            Self::Ketama(_) => PolicyKind::Ketama,
            Self::LeastConn => PolicyKind::LeastConn,
            Self::LeastTime(_) => PolicyKind::LeastTime,
            Self::Maglev(_) => PolicyKind::Maglev,
            Self::NginxHash => PolicyKind::NginxHash,
            Self::P2c => PolicyKind::P2c,
            Self::P2cPeakEwma => PolicyKind::P2cPeakEwma,
            Self::Random => PolicyKind::Random,
            Self::RandomTwo => PolicyKind::RandomTwo,
            Self::Rendezvous(_) => PolicyKind::Rendezvous,
            Self::RingHash(_) => PolicyKind::RingHash,
            Self::WeightedRoundRobin => PolicyKind::WeightedRoundRobin,
        }
    }

    /// The policy.
    pub fn build(self) -> Arc<dyn Policy> {
        match self {
            Self::Ketama(policy) => Arc::new(policy),
            Self::LeastTime(policy) => Arc::new(policy),
            Self::Maglev(policy) => Arc::new(policy),
            Self::Rendezvous(policy) => Arc::new(policy),
            Self::RingHash(policy) => Arc::new(policy),
            other => other.kind().build(),
        }
    }
}

/// The policy with its default settings.
impl From<PolicyKind> for PolicySettings {
    fn from(kind: PolicyKind) -> Self {
        match kind {
            PolicyKind::First => Self::First,
            PolicyKind::Ketama => Self::Ketama(Ketama::new()),
            PolicyKind::LeastConn => Self::LeastConn,
            PolicyKind::LeastTime => Self::LeastTime(LeastTime::new()),
            PolicyKind::Maglev => Self::Maglev(Maglev::new()),
            PolicyKind::NginxHash => Self::NginxHash,
            PolicyKind::P2c => Self::P2c,
            PolicyKind::P2cPeakEwma => Self::P2cPeakEwma,
            PolicyKind::Random => Self::Random,
            PolicyKind::RandomTwo => Self::RandomTwo,
            PolicyKind::Rendezvous => Self::Rendezvous(Rendezvous::new()),
            PolicyKind::RingHash => Self::RingHash(RingHash::new()),
            PolicyKind::WeightedRoundRobin => Self::WeightedRoundRobin,
        }
    }
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicyKind::default().into()
    }
}

#[cfg(feature = "serde")]
mod form {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
    use serde::ser::{Serialize, SerializeMap, Serializer};

    use super::PolicySettings;
    use crate::policy::PolicyKind;

    /// The name alone for the default settings.
    impl Serialize for PolicySettings {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let name = self.kind().as_str();
            if *self == Self::from(self.kind()) {
                return serializer.serialize_str(name);
            }
            let mut map = serializer.serialize_map(Some(1))?;
            match self {
                Self::Ketama(policy) => map.serialize_entry(name, policy),
                Self::LeastTime(policy) => map.serialize_entry(name, policy),
                Self::Maglev(policy) => map.serialize_entry(name, policy),
                Self::Rendezvous(policy) => map.serialize_entry(name, policy),
                Self::RingHash(policy) => map.serialize_entry(name, policy),
                _ => map.serialize_entry(name, &NoSettings {}),
            }?;
            map.end()
        }
    }

    impl<'de> Deserialize<'de> for PolicySettings {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(PolicyVisitor)
        }
    }

    struct PolicyVisitor;

    impl<'de> Visitor<'de> for PolicyVisitor {
        type Value = PolicySettings;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a policy, alone or with its settings")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<PolicySettings, E> {
            let kind: PolicyKind = name.parse().map_err(E::custom)?;
            Ok(kind.into())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicySettings, A::Error> {
            let Some(PolicyName(kind)) = map.next_key()? else {
                return Err(A::Error::invalid_length(0, &self));
            };
            let settings = match kind {
                PolicyKind::Ketama => PolicySettings::Ketama(map.next_value()?),
                PolicyKind::LeastTime => PolicySettings::LeastTime(map.next_value()?),
                PolicyKind::Maglev => PolicySettings::Maglev(map.next_value()?),
                PolicyKind::Rendezvous => PolicySettings::Rendezvous(map.next_value()?),
                PolicyKind::RingHash => PolicySettings::RingHash(map.next_value()?),
                other => {
                    let NoSettings {} = map.next_value()?;
                    other.into()
                }
            };
            match map.next_key::<PolicyName>()? {
                Some(PolicyName(other)) => Err(A::Error::custom(format!(
                    "\"{kind}\" and \"{other}\" are two policies: name one"
                ))),
                None => Ok(settings),
            }
        }
    }

    /// A name, with the error of its parser.
    struct PolicyName(PolicyKind);

    impl<'de> Deserialize<'de> for PolicyName {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let name = String::deserialize(deserializer)?;
            name.parse().map(Self).map_err(D::Error::custom)
        }
    }

    /// What the name of a policy without settings maps to.
    #[derive(serde::Deserialize, serde::Serialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(deny_unknown_fields)]
    struct NoSettings {}

    #[cfg(feature = "schema")]
    impl schemars::JsonSchema for PolicySettings {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "PolicySettings".into()
        }

        fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
            use crate::policy::{Ketama, LeastTime, Maglev, Rendezvous, RingHash};
            let mut properties = schemars::Schema::default();
            for kind in PolicyKind::ALL {
                let settings = match kind {
                    PolicyKind::Ketama => generator.subschema_for::<Ketama>(),
                    PolicyKind::LeastTime => generator.subschema_for::<LeastTime>(),
                    PolicyKind::Maglev => generator.subschema_for::<Maglev>(),
                    PolicyKind::Rendezvous => generator.subschema_for::<Rendezvous>(),
                    PolicyKind::RingHash => generator.subschema_for::<RingHash>(),
                    _ => generator.subschema_for::<NoSettings>(),
                };
                properties.insert(kind.as_str().to_owned(), settings.into());
            }
            let name = generator.subschema_for::<PolicyKind>();
            schemars::json_schema!({
                "anyOf": [name, {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": properties,
                }]
            })
        }
    }
}
