//! The settings of active checks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::ser::{Serialize, Serializer};

use super::error::SettingsError;
use crate::health::{
    AgentCheck, CheckSettings, Expect, ExpectError, HttpCheck, HttpCheckError, NodePortCheck,
    SendExpect, TcpCheck,
};
use crate::upstream::UpstreamBuilder;

/// An active check of an upstream's backends, and when it is made.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthCheckSettings {
    /// What a probe does: `tcp`, or one name with its settings.
    pub check: CheckKind,
    /// When backends are probed, from where, and when their state changes.
    #[serde(default)]
    pub settings: CheckSettings,
}

/// What a probe does.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Asks an agent for the weight and the state of its backend: [`AgentCheck`].
    Agent(AgentSettings),
    /// Asks over HTTP: [`HttpCheck`].
    Http(HttpSettings),
    /// Asks the kube-proxy of a node: [`NodePortCheck`].
    NodePort(NodePortCheckSettings),
    /// Sends bytes and expects others: [`SendExpect`].
    SendExpect(SendExpectSettings),
    /// Connects: [`TcpCheck`].
    Tcp,
    /// Makes a TLS handshake: `TlsCheck`.
    #[cfg(feature = "health-tls")]
    Tls(TlsSettings),
}

/// An agent that is asked for the weight and the state of its backend.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// The port of the agent at each backend's address.
    pub port: u16,
    /// What is sent to the agent first. Default: nothing.
    #[serde(default)]
    pub send: Box<str>,
}

/// A request over HTTP and the answers that pass.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The path that is asked for, a query included.
    pub path: Box<str>,
    /// The header `Host`. Default: the backend's name, or its address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// Other headers. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<Box<str>, Box<str>>,
    /// The statuses that pass: numbers, or ranges such as `"200-399"`. Default: `["200-399"]`.
    #[serde(default = "good_statuses")]
    pub statuses: Vec<StatusRange>,
}

/// Statuses of HTTP, the first and the last included.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "a wrapper around one value")]
pub struct StatusRange(pub RangeInclusive<u16>);

/// The port where kube-proxy answers.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NodePortCheckSettings {
    /// `healthCheckNodePort` of the service.
    pub port: u16,
    /// Whether the number of endpoints becomes the weight of the backend. Default: true.
    #[serde(default = "yes")]
    pub weight: bool,
}

/// What is sent and expected, step by step.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SendExpectSettings {
    /// The steps in their order.
    pub steps: Vec<StepSettings>,
    /// How many bytes are read at most, all steps together. Default: 16KiB.
    #[serde(default = "sixteen_kib", with = "crate::byte_form::ByteSize")]
    pub max_bytes: usize,
}

/// A step of a check.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepSettings {
    /// Expects this text anywhere in the answer.
    Expect(Box<str>),
    /// Expects these bytes, in hexadecimal.
    ExpectHex(Box<str>),
    /// Expects a match of this regular expression.
    #[cfg(feature = "health-regex")]
    ExpectRegex(Box<str>),
    /// Sends this text.
    Send(Box<str>),
    /// Sends these bytes, in hexadecimal.
    SendHex(Box<str>),
}

/// A TLS handshake.
#[cfg(feature = "health-tls")]
#[non_exhaustive]
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// The server name that is asked for (SNI). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Box<str>>,
    /// The protocols that are offered (ALPN), the preferred one first. Default: none.
    pub alpn: Vec<Box<str>>,
    /// The file of certificates (PEM) that the backend's has to lead to one of. Default: every certificate is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<std::path::PathBuf>,
}

fn yes() -> bool {
    true
}

fn sixteen_kib() -> usize {
    16 * 1024
}

fn good_statuses() -> Vec<StatusRange> {
    vec![StatusRange(200..=399)]
}

impl HealthCheckSettings {
    /// `check`, with the default settings.
    pub fn new(check: CheckKind) -> Self {
        Self {
            check,
            settings: CheckSettings::default(),
        }
    }

    pub(super) fn add(
        &self,
        builder: UpstreamBuilder,
        place: &str,
    ) -> Result<UpstreamBuilder, SettingsError> {
        let settings = self.settings.clone();
        let at = |name| format!("{place}.check.{name}");
        Ok(match &self.check {
            CheckKind::Agent(agent) => builder.health_check(agent.build(), settings),
            CheckKind::Http(http) => {
                let check = http.build();
                let check = check.map_err(|error| SettingsError::at(at("http"), error))?;
                builder.health_check(check, settings)
            }
            CheckKind::NodePort(node) => {
                let check = NodePortCheck::new(node.port).weight(node.weight);
                builder.health_check(check, settings)
            }
            CheckKind::SendExpect(steps) => {
                let check = steps.build();
                let check = check.map_err(|error| SettingsError::at(at("send_expect"), error))?;
                builder.health_check(check, settings)
            }
            CheckKind::Tcp => builder.health_check(TcpCheck::new(), settings),
            #[cfg(feature = "health-tls")]
            CheckKind::Tls(tls) => builder.health_check(tls.build(&at("tls"))?, settings),
        })
    }
}

impl AgentSettings {
    /// The agent at `port`, to which nothing is sent.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            send: "".into(),
        }
    }

    fn build(&self) -> AgentCheck {
        AgentCheck::new(self.port).send(self.send.as_bytes())
    }
}

impl HttpSettings {
    /// Asks for `path`, everything else at its default.
    pub fn new(path: impl Into<Box<str>>) -> Self {
        Self {
            path: path.into(),
            host: None,
            headers: BTreeMap::new(),
            statuses: good_statuses(),
        }
    }

    fn build(&self) -> Result<HttpCheck, HttpCheckError> {
        let statuses = self.statuses.iter().map(|range| range.0.clone());
        let mut check = HttpCheck::try_new(&self.path)?.try_statuses(statuses)?;
        if let Some(host) = &self.host {
            check = check.try_host(host)?;
        }
        let mut headers = self.headers.iter();
        headers.try_fold(check, |check, (name, value)| check.try_header(name, value))
    }
}

impl NodePortCheckSettings {
    /// kube-proxy at `port`, whose number of endpoints becomes the weight.
    pub fn new(port: u16) -> Self {
        Self { port, weight: true }
    }
}

impl SendExpectSettings {
    /// These steps, everything else at its default.
    pub fn new(steps: impl IntoIterator<Item = StepSettings>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            max_bytes: sixteen_kib(),
        }
    }

    fn build(&self) -> Result<SendExpect, ExpectError> {
        let check = SendExpect::new().max_bytes(self.max_bytes);
        self.steps.iter().try_fold(check, |check, step| {
            Ok(match step {
                StepSettings::Expect(text) => check.expect(Expect::try_bytes(text.as_bytes())?),
                StepSettings::ExpectHex(digits) => check.expect(Expect::try_hex(digits)?),
                #[cfg(feature = "health-regex")]
                StepSettings::ExpectRegex(regex) => check.expect(Expect::try_regex(regex)?),
                StepSettings::Send(text) => check.send(text.as_bytes()),
                StepSettings::SendHex(digits) => check.try_send_hex(digits)?,
            })
        })
    }
}

#[cfg(feature = "health-tls")]
impl TlsSettings {
    /// Reads the file of certificates, if there is one.
    fn build(&self, place: &str) -> Result<crate::health::TlsCheck, SettingsError> {
        let mut check = crate::health::TlsCheck::new();
        if let Some(name) = &self.server_name {
            let named = check.try_server_name(name);
            let at = |error| SettingsError::at(format!("{place}.server_name"), error);
            check = named.map_err(at)?;
        }
        check = check.alpn(self.alpn.iter().map(|name| name.as_bytes()));
        if let Some(path) = &self.roots {
            let pem = std::fs::read(path).map_err(|error| {
                let problem = format!("{} cannot be read: {error}", path.display());
                SettingsError::at(format!("{place}.roots"), problem)
            })?;
            let at = |error| SettingsError::at(format!("{place}.roots"), error);
            check = check.try_roots(&pem).map_err(at)?;
        }
        Ok(check)
    }
}

/// A number, or the first and the last.
impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (first, last) = self.0.clone().into_inner();
        match first == last {
            true => serializer.serialize_u16(first),
            false => serializer.collect_str(&format_args!("{first}-{last}")),
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(
            expecting = "a status such as 200, or a range such as \"200-399\"",
            untagged
        )]
        enum Form {
            One(u16),
            Range(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::One(status) => return Ok(Self(status..=status)),
            Form::Range(text) => text,
        };
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let parse = |text: &str| text.trim().parse::<u16>().ok();
        let range = parse(first).zip(parse(last));
        let range = range.map(|(first, last)| Self(first..=last));
        range.ok_or_else(|| {
            let expected = &"a status such as 200, or a range such as \"200-399\"";
            D::Error::invalid_value(Unexpected::Str(&text), expected)
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for StatusRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A status such as 200, or a range such as \"200-399\".",
            "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$" },
            ],
        })
    }
}
