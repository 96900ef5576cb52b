//! The settings of sessions, which a listener and each of its virtual servers have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lb_core::serde_form::{OptionalDuration, Switch};

use super::bind_source::BindSourceSettings;
use super::error::SettingsError;
use super::named::NamedParts;
use super::send_proxy::SendProxySettings;
use super::upstream_choice::UpstreamChoice;
use crate::bandwidth::Bandwidth;
use crate::config::{HalfClose, OnRefusal, Retry, Splice, Timeouts};
use crate::connection::Connection;
use crate::net::options::SocketOptions;
use crate::server_names::ServerNames;
use crate::state::route_action::RouteAction;
use crate::state::split::Split;
use crate::state::virtual_servers::VirtualServer;

/// What happens to the sessions of a listener or a virtual server.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// Its name where the admin server explains routes. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Box<str>>,
    /// The time-outs.
    pub timeouts: Timeouts,
    /// When another backend is tried.
    pub retry: Retry,
    /// What the end of one side means. Default: `allow`.
    pub half_close: HalfClose,
    /// How a client is closed that gets no service. Default: `reset`.
    pub on_refusal: OnRefusal,
    /// Whether long transfers are spliced. Default: `auto`.
    pub splice: Splice,
    /// How fast bytes are relayed at most. Default: no limit.
    pub bandwidth: Bandwidth,
    /// The options of connections to backends.
    pub backend_options: SocketOptions,
    /// The source of connections to backends. Default: the kernel chooses it.
    pub bind_source: BindSourceSettings,
    /// The PROXY protocol header that backends receive. Default: false, none.
    #[serde(with = "Switch::<SendProxySettings>")]
    pub send_proxy: Option<SendProxySettings>,
    /// Whether a client that ended its side before it sent a byte counts as gone. Default: true.
    pub abandon_silent: bool,
    /// The time between two reports of progress to hooks. Default: false, none.
    #[serde(with = "OptionalDuration")]
    pub report_interval: Option<Duration>,
    /// The upstreams of server names that clients ask for, by pattern; the listener needs `client_hello`. Default: none.
    pub server_names: BTreeMap<Box<str>, Box<str>>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            label: None,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            half_close: HalfClose::default(),
            on_refusal: OnRefusal::default(),
            splice: Splice::default(),
            bandwidth: Bandwidth::default(),
            backend_options: SocketOptions::default(),
            bind_source: BindSourceSettings::default(),
            send_proxy: None,
            abandon_silent: true,
            report_interval: None,
            server_names: BTreeMap::new(),
        }
    }
}

impl SessionSettings {
    /// A virtual server with these settings, which serves no name yet.
    pub(super) fn build(
        &self,
        upstream: &UpstreamChoice,
        named: &NamedParts,
        place: &str,
    ) -> Result<VirtualServer, SettingsError> {
        let place_of_upstream = format!("{place}.upstream");
        let mut server = VirtualServer::new(upstream.first(named, &place_of_upstream)?)
            .timeouts(self.timeouts)
            .retry(self.retry)
            .half_close(self.half_close)
            .on_refusal(self.on_refusal)
            .splice(self.splice)
            .bandwidth(self.bandwidth)
            .backend_options(self.backend_options)
            .bind_source(self.bind_source.build())
            .abandon_silent(self.abandon_silent)
            .report_interval(self.report_interval);
        if let Some(label) = &self.label {
            server = server.label(&**label);
        }
        if let Some(send) = &self.send_proxy {
            server = server.send_proxy(send.build());
        }
        if !self.server_names.is_empty() {
            let mut names = ServerNames::new();
            for (pattern, upstream) in &self.server_names {
                let place = format!("{place}.sessions.server_names.{pattern:?}");
                let upstream = named.upstream(upstream, &place)?.clone();
                let inserted = names.insert(pattern, upstream);
                inserted.map_err(|error| SettingsError::at(place, error))?;
            }
            server = server.server_names(names);
        }
        Ok(match upstream.split(named, &place_of_upstream)? {
            Some(split) => server.route(self.others(split)),
            None => server,
        })
    }

    /// A function that leaves connections for `server_names` to these, and splits all others.
    fn others(&self, split: Arc<Split>) -> impl Fn(&Connection) -> RouteAction + use<> {
        let mut named = ServerNames::new();
        for pattern in self.server_names.keys() {
            // A wrong pattern is an error of the table of upstreams.
            let _ = named.insert(pattern, ());
        }
        move |connection| {
            let name = connection.server_name_bytes();
            match name.and_then(|name| named.find(name)) {
                Some(()) => RouteAction::Default,
                None => RouteAction::Split(Arc::clone(&split)),
            }
        }
    }
}
