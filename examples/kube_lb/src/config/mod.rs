//! The configuration file.
//!
//! `file` is exactly what a user writes; [`Config`] is what the program works with. `clusters` checks the clusters.

mod clusters;
mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_proxy::readiness_report::ReadyFileSettings;

use crate::addresses::{Pool, Pools, PoolsError, RangeError};
use crate::clusters::ClusterPlace;
use crate::names::{CLASS, GATEWAY_CONTROLLER};
use crate::plan::Reach;
use file::ConfigFile;

/// The settings of the program.
#[derive(Clone, Debug)]
pub struct Config {
    /// The clusters, the primary one first. There is at least one.
    pub clusters: Vec<ClusterPlace>,
    /// How old what is known of another cluster than the primary one may be before statuses say so.
    pub stale_after: Duration,
    /// The file from which the next process begins.
    pub state: Option<StateSettings>,
    /// The `loadBalancerClass` of the Services that are served.
    pub class: String,
    /// The `controllerName` of the GatewayClasses that are served.
    pub gateway_controller: String,
    /// Whether Services without a class are served as well.
    pub is_default_class: bool,
    /// The addresses that Services may have.
    pub pools: Pools,
    /// How pods are reached unless an annotation says otherwise.
    pub reach: Reach,
    /// The most TCP ports of one Service, and of one Gateway with its ListenerSets.
    pub max_ports: usize,
    /// Whether the status is written although another program writes it as well.
    pub takes_over: bool,
    /// The Lease by which replicas decide which of them writes. `None`: this is the only replica.
    pub lease: Option<LeaseSettings>,
    /// The threads that serve. `None`: one for each processor.
    pub workers: Option<usize>,
    /// Where metrics and the status are served.
    pub admin: Option<SocketAddr>,
    /// The file that says whether this machine should get connections.
    pub ready_file: Option<ReadyFileSettings>,
    /// How long connections are still accepted at a shutdown, while this machine says that it is not ready.
    pub withdraw_delay: Duration,
    /// The time that open sessions have at a shutdown.
    pub drain_timeout: Duration,
}

/// The file from which the next process begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateSettings {
    /// The file.
    pub file: PathBuf,
    /// How often it is written.
    pub interval: Duration,
    /// The age from which on it is ignored. `None`: none.
    pub max_age: Option<Duration>,
}

/// The Lease by which replicas decide which of them writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeaseSettings {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// How long a replica writes after its last renewal.
    pub duration: Duration,
    /// The name of this replica, unique among all.
    pub identity: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The text is no YAML, or has a field that is unknown, missing or of another type.
    #[error("{0}")]
    Syntax(String),
    /// A range of addresses is wrong.
    #[error("addresses of the pool {pool:?}: {source}")]
    Range {
        /// The pool.
        pool: String,
        /// What is wrong.
        source: RangeError,
    },
    /// The pools do not fit together.
    #[error("pools: {0}")]
    Pools(#[from] PoolsError),
    /// A setting has a value that cannot work.
    #[error("{setting}: {problem}")]
    Value {
        /// The setting, such as `lease.duration`.
        setting: &'static str,
        /// What is wrong, and what to write.
        problem: String,
    },
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: ConfigFile =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        let pools = file.pools.into_iter().map(pool).collect::<Result<_, _>>()?;
        let class = file.class.unwrap_or_else(|| CLASS.to_owned());
        check_class(&class)?;
        let gateway_controller = file.gateway_controller;
        let gateway_controller =
            gateway_controller.unwrap_or_else(|| GATEWAY_CONTROLLER.to_owned());
        if !gateway_controller.contains('/') {
            let problem = format!(
                "{gateway_controller:?} is no domain and path: write one as {GATEWAY_CONTROLLER}"
            );
            return Err(value("gateway_controller", problem));
        }
        let lease = file.lease.map(file::LeaseFile::into_settings).transpose()?;
        if file.workers == Some(0) {
            return Err(value(
                "workers",
                "with 0 threads nothing is served: leave it out for one a processor",
            ));
        }
        Ok(Self {
            clusters: clusters::read(file.cluster, file.clusters)?,
            stale_after: file::duration("stale_after", &file.stale_after)?,
            state: file.state.map(file::StateFile::into_settings).transpose()?,
            class,
            gateway_controller,
            is_default_class: file.default_class,
            pools: Pools::try_new(pools)?,
            reach: file.backends.into(),
            max_ports: file.max_ports,
            takes_over: file.take_over,
            lease,
            workers: file.workers,
            admin: file.admin,
            ready_file: file
                .ready_file
                .map(file::ReadyFile::into_settings)
                .transpose()?,
            withdraw_delay: match &file.withdraw_delay {
                Some(text) => file::duration("withdraw_delay", text)?,
                None => Duration::ZERO,
            },
            drain_timeout: file::duration("drain_timeout", &file.drain_timeout)?,
        })
    }

    /// The primary cluster: its objects decide what is served.
    pub fn primary(&self) -> &ClusterPlace {
        &self.clusters[0]
    }

    /// The settings that a running process takes over from `new` only at its next start.
    pub fn fixed_differences(&self, new: &Self) -> Vec<&'static str> {
        let (own, other) = (self.primary(), new.primary());
        let settings = [
            (
                "the primary cluster",
                !own.is_same_cluster(other) || own.name != other.name,
            ),
            (
                "gateway_controller",
                self.gateway_controller != new.gateway_controller,
            ),
            ("lease", self.lease != new.lease),
            ("state", self.state != new.state),
            ("ready_file", self.ready_file != new.ready_file),
            ("workers", self.workers != new.workers),
            ("admin", self.admin != new.admin),
            ("withdraw_delay", self.withdraw_delay != new.withdraw_delay),
            ("drain_timeout", self.drain_timeout != new.drain_timeout),
        ];
        let different = settings.into_iter().filter(|(_, differs)| *differs);
        different.map(|(setting, _)| setting).collect()
    }

    /// `new` with those settings of this configuration that a running process cannot change.
    #[must_use]
    pub fn with_fixed_of(self, old: &Self) -> Self {
        let mut clusters = self.clusters;
        let ClusterPlace {
            name,
            kubeconfig,
            context,
            ..
        } = old.primary().clone();
        clusters[0] = ClusterPlace {
            name,
            kubeconfig,
            context,
            ..clusters[0].clone()
        };
        Self {
            clusters,
            gateway_controller: old.gateway_controller.clone(),
            lease: old.lease.clone(),
            state: old.state.clone(),
            ready_file: old.ready_file.clone(),
            workers: old.workers,
            admin: old.admin,
            withdraw_delay: old.withdraw_delay,
            drain_timeout: old.drain_timeout,
            ..self
        }
    }
}

fn value(setting: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        setting,
        problem: problem.into(),
    }
}

fn pool(file: file::PoolFile) -> Result<Pool, ConfigError> {
    let ranges = file.addresses.iter().map(|text| text.parse());
    let ranges: Result<Vec<_>, _> = ranges.collect();
    let ranges = ranges.map_err(|source| ConfigError::Range {
        pool: file.name.clone(),
        source,
    })?;
    Ok(Pool {
        namespaces: file.namespaces.map(|names| names.into_iter().collect()),
        is_automatic: file.automatic,
        is_shared: file.shared,
        ..Pool::new(file.name, ranges)
    })
}

/// The API server accepts label names with an optional prefix as classes.
fn check_class(class: &str) -> Result<(), ConfigError> {
    let (prefix, name) = class.split_once('/').unwrap_or(("a", class));
    let fits = |part: &str, most: usize, extra: &[u8]| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
        let ends = part
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
            && part
                .bytes()
                .last()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        part.len() <= most && ends && part.bytes().all(inner)
    };
    match fits(prefix, 253, b"-.") && fits(name, 63, b"-_.") {
        true => Ok(()),
        false => Err(value(
            "class",
            format!("{class:?} is no class that Kubernetes allows: write one as {CLASS}"),
        )),
    }
}

#[cfg(test)]
mod tests;
