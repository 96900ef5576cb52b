//! The settings of a source whose backends are changed.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lb_core::serde_form::{OptionalDuration, OptionalPositive, Switch};
use lb_core::{AdminState, Backend, FailLimit, Priority, Weight};
use serde::de::Deserializer;

use super::SourceSettings;
use crate::{Map, Source};

/// A source with some settings of its backends replaced: [`Map`]. What is left out stays as the source has it.
///
/// These are the parameters of a `server` of nginx or HAProxy, for each address that the source finds.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MappedSettings {
    /// The source.
    pub source: Box<SourceSettings>,
    /// The port, except of unix sockets. Backends that then have one address become one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "OptionalPositive::<u16>"
    )]
    pub port: Option<u16>,
    /// The share of each backend, from 0 (no new connections) to 65535, also of those whose source has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// Whether the backends take new connections. `drain` takes the whole source out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<AdminState>,
    /// The tier: 0 first, 1 for backups. [`Shifted`](SourceSettings::Shifted) keeps the tiers of the source apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The most connections in flight on each backend; 0 or false for no limit.
    #[serde(
        default,
        deserialize_with = "deserialize_max_conns",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Switch::<u32>"))]
    pub max_conns: Option<u32>,
    /// How many failures eject a backend; 0 never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fails: Option<u32>,
    /// For how long failures eject a backend.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "OptionalDuration"
    )]
    pub fail_timeout: Option<Duration>,
    /// The failure domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
}

/// Reads a number, or false for none, which is 0.
fn deserialize_max_conns<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    let most: Option<u32> = Switch::deserialize(deserializer)?;
    Ok(Some(most.unwrap_or_default()))
}

impl MappedSettings {
    /// `source` as it is.
    pub fn new(source: SourceSettings) -> Self {
        Self {
            source: Box::new(source),
            port: None,
            weight: None,
            state: None,
            priority: None,
            max_conns: None,
            max_fails: None,
            fail_timeout: None,
            zone: None,
        }
    }

    pub(super) fn build(&self, source: Arc<dyn Source>) -> Map {
        let settings = self.clone();
        Map::new(source, move |backend| settings.changed(backend))
    }

    fn changed(&self, mut backend: Backend) -> Backend {
        if let Some(port) = self.port
            && backend.unix_path().is_none()
        {
            backend.addr.set_port(port);
        }
        backend.fail_limit = self.fail_limit(backend.fail_limit);
        backend.weight = self.weight.unwrap_or(backend.weight);
        backend.admin = self.state.unwrap_or(backend.admin);
        backend.priority = self.priority.unwrap_or(backend.priority);
        if let Some(most) = self.max_conns {
            backend = backend.max_conns(most);
        }
        match &self.zone {
            Some(zone) => backend.zone(Arc::clone(zone)),
            None => backend,
        }
    }

    /// The limit of a backend whose source says `limit`.
    fn fail_limit(&self, limit: Option<FailLimit>) -> Option<FailLimit> {
        let max_fails = match self.max_fails {
            Some(most) => NonZeroU32::new(most)?,
            None => limit?.max_fails,
        };
        let of_source = limit.unwrap_or_default().fail_timeout;
        Some(FailLimit::new(
            max_fails,
            self.fail_timeout.unwrap_or(of_source),
        ))
    }
}
