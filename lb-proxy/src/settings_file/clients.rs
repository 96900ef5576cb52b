//! The settings of clients: who may connect, and how often.

use lb_core::serde_form::{Positive, Switch};
use lb_discovery::Network;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

use crate::limits::{Access, ClientZone, Rate};
use crate::upstream::key_part::KeyPart;

/// A rule of [`Access`]. The first that matches decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "there is no third")]
pub enum AccessRule {
    /// Admits these clients.
    Allow(Clients),
    /// Refuses these clients.
    Deny(Clients),
}

/// The clients that a rule is about: `10.0.0.0/8`, `unix` or `all`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Clients {
    /// All.
    All,
    /// Those with addresses of this network.
    Network(Network),
    /// Those on unix sockets.
    Unix,
}

/// The rules in their order.
pub(super) fn access(rules: &[AccessRule]) -> Access {
    let everything = ["0.0.0.0/0", "::/0"].map(|text| text.parse::<Network>());
    let everything = everything.map(|network| network.expect("a network"));
    rules
        .iter()
        .fold(Access::new(), |access, rule| match *rule {
            AccessRule::Allow(Clients::Network(network)) => access.allow(network),
            AccessRule::Allow(Clients::Unix) => access.allow_unix(),
            AccessRule::Allow(Clients::All) => everything
                .into_iter()
                .fold(access, Access::allow)
                .allow_unix(),
            AccessRule::Deny(Clients::Network(network)) => access.deny(network),
            AccessRule::Deny(Clients::Unix) => access.deny_unix(),
            AccessRule::Deny(Clients::All) => everything
                .into_iter()
                .fold(access, Access::deny)
                .deny_unix(),
        })
}

impl Serialize for Clients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Network(network) => network.serialize(serializer),
            Self::Unix => serializer.serialize_str("unix"),
        }
    }
}

impl<'de> Deserialize<'de> for Clients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match &*text {
            "all" => Self::All,
            "unix" => Self::Unix,
            text => Self::Network(text.parse().map_err(|error| {
                D::Error::custom(format!("{error}, and neither \"all\" nor \"unix\""))
            })?),
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Clients {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Clients".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A network such as 10.0.0.0/8, an IP address, \"unix\" or \"all\".",
            "type": "string",
        })
    }
}

/// What counts the sessions and the new connections of each client: [`ClientZone`].
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientZoneSettings {
    /// How many leading bits of an IPv4 address make a client. Default: 32; more means 32.
    pub ipv4_prefix: u8,
    /// How many leading bits of an IPv6 address make a client. Default: 64; more than 128 means 128.
    pub ipv6_prefix: u8,
    /// How many clients the zone can know. Default: 65536.
    #[serde(with = "Positive::<usize>")]
    pub capacity: usize,
    /// How fast each client may open new connections. Default: false, no limit.
    #[serde(with = "Switch::<Rate>")]
    pub rate: Option<Rate>,
}

impl Default for ClientZoneSettings {
    fn default() -> Self {
        Self {
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            capacity: 65536,
            rate: None,
        }
    }
}

impl ClientZoneSettings {
    pub(super) fn build(&self) -> ClientZone {
        ClientZone::builder()
            .ipv4_prefix(self.ipv4_prefix)
            .ipv6_prefix(self.ipv6_prefix)
            .capacity(self.capacity)
            .rate(self.rate)
            .build()
    }
}

/// How many sessions of each client a listener serves at a time.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientLimitSettings {
    /// The name of the zone that counts.
    pub zone: Box<str>,
    /// The most sessions of a client.
    #[serde(with = "Positive::<u32>")]
    pub sessions: u32,
    /// The parts of the key that clients are known by. Default: their addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<KeyPart>>,
}

impl ClientLimitSettings {
    /// At most `sessions` of each address that `zone` counts.
    pub fn new(zone: impl Into<Box<str>>, sessions: u32) -> Self {
        Self {
            zone: zone.into(),
            sessions,
            key: None,
        }
    }
}
