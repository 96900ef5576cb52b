//! The file as a user writes it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lb_proxy::readiness_report::ReadyFileSettings;
use serde::Deserialize;

use super::{ConfigError, LeaseSettings, StateSettings, value};
use crate::plan::Reach;
use crate::units;

/// The shortest heartbeat of a readiness file.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) cluster: Option<ClusterFile>,
    pub(super) clusters: Option<Vec<NamedClusterFile>>,
    #[serde(default = "stale_after")]
    pub(super) stale_after: String,
    pub(super) state: Option<StateFile>,
    pub(super) class: Option<String>,
    pub(super) gateway_controller: Option<String>,
    #[serde(default)]
    pub(super) default_class: bool,
    pub(super) pools: Vec<PoolFile>,
    #[serde(default)]
    pub(super) backends: BackendsFile,
    #[serde(default = "max_ports")]
    pub(super) max_ports: usize,
    #[serde(default)]
    pub(super) take_over: bool,
    pub(super) lease: Option<LeaseFile>,
    pub(super) workers: Option<usize>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) ready_file: Option<ReadyFile>,
    pub(super) withdraw_delay: Option<String>,
    #[serde(default = "drain_timeout")]
    pub(super) drain_timeout: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterFile {
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedClusterFile {
    pub(super) name: String,
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
    #[serde(default)]
    pub(super) priority: u8,
    pub(super) weight: Option<u16>,
    pub(super) networks: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateFile {
    file: PathBuf,
    #[serde(default = "state_interval")]
    interval: String,
    max_age: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolFile {
    pub(super) name: String,
    pub(super) addresses: Vec<String>,
    pub(super) namespaces: Option<Vec<String>>,
    #[serde(default = "yes")]
    pub(super) automatic: bool,
    #[serde(default = "yes")]
    pub(super) shared: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BackendsFile {
    #[default]
    Pods,
    Nodes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaseFile {
    namespace: String,
    #[serde(default = "lease_name")]
    name: String,
    #[serde(default = "lease_duration")]
    duration: String,
    identity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyFile {
    path: PathBuf,
    ready: Option<i32>,
    not_ready: Option<i32>,
    leaving: Option<i32>,
    heartbeat: Option<String>,
}

const fn yes() -> bool {
    true
}

const fn max_ports() -> usize {
    128
}

fn drain_timeout() -> String {
    "30s".to_owned()
}

fn stale_after() -> String {
    "30s".to_owned()
}

fn state_interval() -> String {
    "30s".to_owned()
}

fn lease_name() -> String {
    "kube-lb".to_owned()
}

fn lease_duration() -> String {
    "15s".to_owned()
}

impl From<BackendsFile> for Reach {
    fn from(file: BackendsFile) -> Self {
        match file {
            BackendsFile::Pods => Self::Pods,
            BackendsFile::Nodes => Self::Nodes,
        }
    }
}

/// Reads the time of `setting`.
pub(super) fn duration(setting: &'static str, text: &str) -> Result<Duration, ConfigError> {
    units::duration(text).map_err(|error| value(setting, error.to_string()))
}

impl StateFile {
    pub(super) fn into_settings(self) -> Result<StateSettings, ConfigError> {
        let max_age = self.max_age.as_deref();
        let max_age = max_age.map(|text| duration("state.max_age", text));
        Ok(StateSettings {
            file: self.file,
            interval: duration("state.interval", &self.interval)?,
            max_age: max_age.transpose()?,
        })
    }
}

impl ReadyFile {
    pub(super) fn into_settings(self) -> Result<ReadyFileSettings, ConfigError> {
        let defaults = ReadyFileSettings::new(self.path);
        let ready = self.ready.unwrap_or(defaults.ready);
        let not_ready = self.not_ready.unwrap_or(defaults.not_ready);
        if ready == not_ready {
            let problem = "the number of ready: what reads the file could not tell them apart";
            return Err(value("ready_file.not_ready", problem));
        }
        let heartbeat = match &self.heartbeat {
            Some(text) => duration("ready_file.heartbeat", text)?,
            None => defaults.heartbeat,
        };
        if heartbeat < SHORTEST_HEARTBEAT {
            return Err(value("ready_file.heartbeat", "at least 10ms"));
        }
        Ok(defaults
            .ready(ready)
            .not_ready(not_ready)
            .leaving(self.leaving.unwrap_or(not_ready))
            .heartbeat(heartbeat))
    }
}

impl LeaseFile {
    pub(super) fn into_settings(self) -> Result<LeaseSettings, ConfigError> {
        let duration = duration("lease.duration", &self.duration)?;
        if duration < Duration::from_secs(3) || duration.subsec_nanos() != 0 {
            let problem =
                "at least 3s, in whole seconds: a replica renews its lease three times in it";
            return Err(value("lease.duration", problem));
        }
        let identity = self.identity.unwrap_or_else(|| {
            let name = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned();
            // Two replicas on one machine, or in pods that are named alike, must differ.
            format!("{name}_{}", std::process::id())
        });
        Ok(LeaseSettings {
            namespace: self.namespace,
            name: self.name,
            duration,
            identity,
        })
    }
}
