//! The settings of a listener that its sessions read.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Endpoint;

use super::bandwidth_setting::BandwidthSetting;
use super::route_function::RouteFunction;
use crate::config::{HalfClose, OnRefusal, Retry, Splice, Timeouts};
use crate::embedder_code::named;
use crate::error::BuildError;
use crate::hooks::{Hooks, Observation};
use crate::limits::access::Access;
use crate::limits::client_limit::ClientLimit;
use crate::net::bind_source::BindSource;
use crate::net::options::SocketOptions;
use crate::preread::Preread;
use crate::server_names::ServerNames;
use crate::session_data::SessionDataFactory;
use crate::upstream::Upstream;
use crate::upstream::key_part::KeyParts;
use crate::upstream::send_proxy::SendProxy;

/// The settings of a listener that its sessions read.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The path of a listener on a unix socket.
    pub(crate) unix: Option<Arc<Path>>,
    /// How hooks and the admin server call it.
    pub(crate) label: Option<Arc<str>>,
    pub(crate) upstream: Upstream,
    pub(crate) client_options: SocketOptions,
    pub(crate) backend_options: SocketOptions,
    pub(crate) bind_source: BindSource,
    pub(crate) timeouts: Timeouts,
    pub(crate) splice: Splice,
    pub(crate) half_close: HalfClose,
    pub(crate) retry: Retry,
    pub(crate) on_refusal: OnRefusal,
    pub(crate) abandon_silent: bool,
    pub(crate) access: Option<Access>,
    pub(crate) limits: Vec<ClientLimit>,
    pub(crate) limit_dry_run: bool,
    pub(crate) limit_before_access: bool,
    /// How long sessions may go on after the listener was removed.
    pub(crate) removal_deadline: Option<Duration>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    /// The time between two reports of the progress of a session to the hooks.
    pub(crate) report_interval: Option<Duration>,
    pub(crate) session_data: Option<SessionDataFactory>,
    pub(crate) prereads: Vec<Arc<dyn Preread>>,
    pub(crate) preread_timeout: Duration,
    pub(crate) send_proxy: Option<SendProxy>,
    pub(crate) server_names: Option<Arc<ServerNames<Upstream>>>,
    pub(crate) function: Option<RouteFunction>,
    /// `None`: unlimited.
    pub(crate) bandwidth: Option<BandwidthSetting>,
    /// Whether a hook, the route function, a hash key or a header may read what the first bytes contained.
    pub(crate) keeps_preread: bool,
}

impl Route {
    /// What a listener at `addr` with these settings listens on.
    pub(crate) fn endpoint(&self, addr: SocketAddr) -> Endpoint {
        match &self.unix {
            Some(path) => Endpoint::Unix(Arc::clone(path)),
            None => Endpoint::Tcp(addr),
        }
    }

    /// The hooks if they observe everything.
    pub(crate) fn observer(&self) -> Option<&dyn Hooks> {
        self.observer_of(Observation::Everything)
    }

    /// The hooks if they observe at least this much of sessions that succeed.
    pub(crate) fn observer_of(&self, least: Observation) -> Option<&dyn Hooks> {
        let hooks = self.hooks.as_deref();
        hooks.filter(|hooks| named("Hooks::observes", || hooks.observes()) >= least)
    }

    /// All settings at their defaults.
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self {
            unix: None,
            label: None,
            upstream,
            client_options: SocketOptions::default(),
            backend_options: SocketOptions::default(),
            bind_source: BindSource::any(),
            timeouts: Timeouts::default(),
            splice: Splice::default(),
            half_close: HalfClose::default(),
            retry: Retry::default(),
            on_refusal: OnRefusal::default(),
            abandon_silent: true,
            access: None,
            limits: Vec::new(),
            limit_dry_run: false,
            limit_before_access: false,
            removal_deadline: None,
            hooks: None,
            report_interval: None,
            session_data: None,
            prereads: Vec::new(),
            preread_timeout: Duration::from_secs(30),
            send_proxy: None,
            server_names: None,
            function: None,
            bandwidth: None,
            keeps_preread: false,
        }
    }

    /// Takes over all that a virtual server has as well.
    pub(crate) fn take_sessions(&mut self, other: Self) {
        let own = std::mem::replace(self, other);
        self.unix = own.unix;
        self.client_options = own.client_options;
        self.access = own.access;
        self.limits = own.limits;
        self.limit_dry_run = own.limit_dry_run;
        self.limit_before_access = own.limit_before_access;
        self.removal_deadline = own.removal_deadline;
        self.session_data = own.session_data;
        self.prereads = own.prereads;
        self.preread_timeout = own.preread_timeout;
    }

    /// Checks that the settings can work. `of` names what has them.
    pub(crate) fn check(&self, of: impl FnOnce() -> String) -> Result<(), BuildError> {
        let Timeouts {
            connect,
            idle,
            half_closed,
            first_byte,
            max_age,
            max_age_jitter: _,
        } = self.timeouts;
        let timeouts = [
            ("connect", Some(connect)),
            ("half-closed", half_closed),
            ("idle", idle),
            ("first-byte", first_byte),
            ("maximum-age", max_age),
            ("preread", Some(self.preread_timeout)),
            ("retry deadline", self.retry.deadline),
            ("report interval", self.report_interval),
        ];
        let prereads = self.prereads.iter();
        let of_prereads =
            prereads.map(|preread| ("preread", named("Preread::timeout", || preread.timeout())));
        let mut timeouts = timeouts.into_iter().chain(of_prereads);
        if let Some((timeout, _)) = timeouts.find(|(_, t)| *t == Some(Duration::ZERO)) {
            return Err(BuildError::ZeroTimeout { timeout });
        }
        let client_limits = self.limits.iter().map(ClientLimit::check);
        let tries = match self.retry.tries {
            Some(0) => Err("the number of tries"),
            _ => Ok(()),
        };
        if let Some(setting) = client_limits.chain([tries]).find_map(Result::err) {
            return Err(BuildError::zero(of(), setting));
        }
        let sends = self.send_proxy.as_ref();
        sends.map_or(Ok(()), |send| send.check(of))
    }

    /// Whether a hook, a function or the header may read what the first bytes contained.
    pub(crate) fn reads_preread(&self) -> bool {
        let is_function = matches!(self.bandwidth, Some(BandwidthSetting::Function(_)));
        let sends = self.send_proxy.as_ref().is_some_and(SendProxy::passes_tlvs);
        let computes = self.function.is_some() || is_function || self.bind_source.is_computed();
        let keys = self.limits.iter().filter_map(|limit| limit.key.as_ref());
        let mut keys = keys.into_iter();
        let hooks = self.hooks.as_ref();
        let hooks = hooks
            .is_some_and(|hooks| named("Hooks::reads_first_bytes", || hooks.reads_first_bytes()));
        hooks || computes || sends || keys.any(KeyParts::needs_preread)
    }

    /// The upstreams that it names.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let names = self.server_names.iter();
        std::iter::once(&self.upstream).chain(names.flat_map(|table| table.values()))
    }
}
