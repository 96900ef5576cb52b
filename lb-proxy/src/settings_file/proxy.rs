//! The settings of a proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use lb_core::serde_form::{DurationForm, OptionalDuration};
use lb_discovery::settings::SourceBuilder;

use super::clients::ClientZoneSettings;
use super::error::SettingsError;
use super::listener::ListenerSettings;
use super::named::NamedParts;
use super::upstream::UpstreamSettings;
use crate::limits::Limits;
use crate::listener::Listener;
use crate::server::{Proxy, ProxyBuilder, Workers};
use crate::upstream::UpstreamBuilder;

/// Everything that a file says of a proxy.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProxySettings {
    /// The pools of backends, by name. A server follows all of them.
    pub upstreams: BTreeMap<Box<str>, UpstreamSettings>,
    /// The addresses to listen on. At least one, unless `may_be_empty`.
    pub listeners: Vec<ListenerSettings>,
    /// What counts the sessions of each client, by name. Default: none.
    pub client_zones: BTreeMap<Box<str>, ClientZoneSettings>,
    /// The limits on the sessions of all listeners together. Default: none.
    pub limits: Limits,
    /// Where sessions run. Default: `current_runtime`.
    pub workers: Workers,
    /// Whether there may be no listener, because reloads add them. Default: false.
    pub may_be_empty: bool,
    /// Whether connections are also counted by listener, upstream and backend. Default: false.
    pub detailed_metrics: bool,
    /// Whether live sessions can be listed and closed. Default: false.
    pub track_sessions: bool,
    /// How long sessions outlast the local address that their clients connected to. Default: false, until they end.
    #[serde(with = "OptionalDuration")]
    pub orphan_timeout: Option<Duration>,
    /// How many descriptors are reserved for everything but sessions. Default: 32.
    pub reserve_descriptors: u32,
    /// For how long an address in use is retried. Default: 2500ms.
    #[serde(with = "DurationForm")]
    pub bind_timeout: Duration,
    /// For how long a shutdown goes on accepting after the server is not ready. Default: 0s.
    #[serde(with = "DurationForm")]
    pub pre_stop_delay: Duration,
    /// How long a shutdown waits for open sessions; false without limit. Default: 30s.
    #[serde(with = "OptionalDuration")]
    pub drain_timeout: Option<Duration>,
    /// The time over which a shutdown resets the sessions that remain. Default: 0s.
    #[serde(with = "DurationForm")]
    pub close_spread: Duration,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            upstreams: BTreeMap::new(),
            listeners: Vec::new(),
            client_zones: BTreeMap::new(),
            limits: Limits::default(),
            workers: Workers::default(),
            may_be_empty: false,
            detailed_metrics: false,
            track_sessions: false,
            orphan_timeout: None,
            reserve_descriptors: 32,
            bind_timeout: Duration::from_millis(2500),
            pre_stop_delay: Duration::ZERO,
            drain_timeout: Some(Duration::from_secs(30)),
            close_spread: Duration::ZERO,
        }
    }
}

impl ProxySettings {
    /// Builds the proxy. Opens no socket and asks no source; reads the files of certificates that checks trust.
    ///
    /// # Errors
    ///
    /// A setting that cannot work, and its place. The text is that of the builder's error.
    pub fn build(&self) -> Result<Proxy, SettingsError> {
        let builder = self.builder()?;
        builder
            .build()
            .map_err(|error| SettingsError::at("listeners", error))
    }

    /// The builder of the proxy, for settings that no file has.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn builder(&self) -> Result<ProxyBuilder, SettingsError> {
        self.builder_with(|_, upstream| upstream, |_, listener| listener)
    }

    /// The builder of the proxy. Each upstream passes through `upstream` with its name, and each listener through `listener` with
    /// its settings, which add what no file has: sources of one's own, hooks, functions.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn builder_with(
        &self,
        mut upstream: impl FnMut(&str, UpstreamBuilder) -> UpstreamBuilder,
        mut listener: impl FnMut(&ListenerSettings, Listener) -> Listener,
    ) -> Result<ProxyBuilder, SettingsError> {
        let zones = self.client_zones.iter();
        let mut named = NamedParts {
            upstreams: BTreeMap::new(),
            zones: zones
                .map(|(name, zone)| (name.clone(), zone.build()))
                .collect(),
        };
        let mut sources = SourceBuilder::new();
        for (name, settings) in &self.upstreams {
            let place = format!("upstreams.{name}");
            let builder = upstream(name, settings.builder(name, &place, &mut sources)?);
            let built = builder
                .build()
                .map_err(|error| SettingsError::at(place, error))?;
            named.upstreams.insert(name.clone(), built);
        }
        let mut builder = Proxy::builder()
            .limits(self.limits)
            .workers(self.workers)
            .may_be_empty(self.may_be_empty)
            .detailed_metrics(self.detailed_metrics)
            .track_sessions(self.track_sessions)
            .orphan_timeout(self.orphan_timeout)
            .reserve_descriptors(self.reserve_descriptors)
            .bind_timeout(self.bind_timeout)
            .pre_stop_delay(self.pre_stop_delay)
            .drain_timeout(self.drain_timeout)
            .close_spread(self.close_spread);
        for (i, settings) in self.listeners.iter().enumerate() {
            let place = format!("listeners[{i}]");
            if settings.lacks_names() {
                let problem = "names choose upstreams or virtual servers, and nothing reads them: add `client_hello: {}`";
                return Err(SettingsError::at(place, problem));
            }
            let described = listener(settings, settings.build(&named, &place)?);
            described
                .check()
                .map_err(|error| SettingsError::at(place, error))?;
            builder = builder.listener(described);
        }
        let upstreams = named.upstreams.values();
        Ok(upstreams.fold(builder, |builder, upstream| builder.upstream(upstream)))
    }
}
