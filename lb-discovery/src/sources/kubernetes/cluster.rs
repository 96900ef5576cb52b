//! A cluster, and how sources reach its API.

mod identity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::client::ConfigExt;
use tokio::sync::{Mutex, Semaphore};

use crate::error::DiscoveryError;
use crate::file_io::blocking::read_blocking;
use crate::file_io::reader::FileReader;
use crate::sources::kubernetes::api::api_client::{ApiClient, RequestLimits};
use crate::sources::kubernetes::api::authenticated_client::AuthenticatedClient;
use crate::sources::kubernetes::config::kubeconfig::{self, ClusterConfig};
use crate::sources::kubernetes::error::{self, root_cause};

/// The API of a cluster, and the credentials for it.
///
/// Reads nothing before a watch is opened. Each watch reads all files again: the kubeconfig, the CA, client certificates
/// and keys, tokens. So files that are rotated during a watch are used by the next one, and a watch is opened again within
/// a second after the server refuses its credentials. In addition, a token file is read again every minute, as Kubernetes
/// requires of its clients, and a plugin runs again a minute before its credentials expire, or at half of their lifetime
/// if that is later, but at most every five seconds.
///
/// Credentials may be a token, a token file (which takes precedence over a token), a client certificate or an `exec`
/// plugin, which must not prompt at a terminal. A `proxy-url` is used, and without one `$HTTPS_PROXY`, `$HTTP_PROXY` and
/// `$NO_PROXY`. TLS is rustls with ring; a program with several rustls providers built in must install one as the
/// default. The runtime needs its I/O enabled.
#[derive(Clone, Debug)]
pub struct Cluster {
    place: ConfigOrigin,
    context: Option<Arc<str>>,
    plugin_timeout: Duration,
    /// Held while files are read.
    reading: Arc<Semaphore>,
    limits: RequestLimits,
    pub(crate) confirm_empty: Duration,
}

#[derive(Clone, Debug)]
enum ConfigOrigin {
    File(PathBuf),
    InCluster,
    Inferred,
}

impl Cluster {
    /// The cluster that kubectl would use.
    ///
    /// That is the current context of `$KUBECONFIG`, which may name several files, or without it of `~/.kube/config`; else
    /// the cluster that the program runs in. Files that do not exist are skipped.
    pub fn inferred() -> Self {
        Self::new(ConfigOrigin::Inferred)
    }

    /// The cluster that the program runs in, by the service account of its pod.
    pub fn in_cluster() -> Self {
        Self::new(ConfigOrigin::InCluster)
    }

    /// The current context of the kubeconfig file at `path`.
    pub fn kubeconfig(path: impl Into<PathBuf>) -> Self {
        Self::new(ConfigOrigin::File(path.into()))
    }

    fn new(place: ConfigOrigin) -> Self {
        Self {
            place,
            context: None,
            plugin_timeout: Duration::from_secs(20),
            reading: Arc::new(Semaphore::new(1)),
            limits: RequestLimits {
                request_timeout: Duration::from_secs(15),
                watch_timeout: Duration::from_secs(60),
                relist_interval: Duration::from_secs(300),
                page_size: 100,
            },
            confirm_empty: Duration::from_secs(10),
        }
    }

    /// Chooses a context of the kubeconfig. Default: its `current-context`.
    #[must_use]
    pub fn context(mut self, context: impl Into<Arc<str>>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Sets how long lists must stay empty before they empty a set that had backends: an API server that restarts or lost
    /// its data must not empty the pool. A deletion during a watch counts at once. Default: 10 s.
    #[must_use]
    pub fn confirm_empty(mut self, confirm_empty: Duration) -> Self {
        self.confirm_empty = confirm_empty;
        self
    }

    /// Sets the number of objects in one page of a list. Default: 100; 0 counts as 1.
    #[must_use]
    pub fn page_size(mut self, page_size: u32) -> Self {
        self.limits.page_size = page_size.max(1);
        self
    }

    /// Sets the time after which all objects are listed again without another reason.
    ///
    /// If a server was restored from a backup and has since overtaken the last known version, only a list shows what
    /// changed. Up to a tenth is added at random. A running watch ends first, so the list may come a
    /// [`watch_timeout`](Self::watch_timeout) later. Default: 5 min; less than 1 s counts as 1 s.
    #[must_use]
    pub fn relist_interval(mut self, relist_interval: Duration) -> Self {
        self.limits.relist_interval = relist_interval.max(Duration::from_secs(1));
        self
    }

    /// Limits the time for one page of a list, and for the start of a watch, the connection included: half of it is for
    /// all addresses of the server together. Default: 15 s.
    #[must_use]
    pub fn request_timeout(mut self, request_timeout: Duration) -> Self {
        self.limits.request_timeout = request_timeout;
        self
    }

    /// Sets how long one watch request lasts, in whole seconds. The next one continues at its last version, without another
    /// list. A frozen server is detected after this time and twice the [`request_timeout`](Self::request_timeout).
    /// Default: 60 s; less than 1 s counts as 1 s.
    #[must_use]
    pub fn watch_timeout(mut self, watch_timeout: Duration) -> Self {
        self.limits.watch_timeout = watch_timeout.max(Duration::from_secs(1));
        self
    }

    /// Limits the time that an `exec` plugin takes to return credentials. After that the plugin and its child processes are
    /// killed. Default: 20 s.
    #[must_use]
    pub fn plugin_timeout(mut self, plugin_timeout: Duration) -> Self {
        self.plugin_timeout = plugin_timeout;
        self
    }

    /// Checks the configuration: reads the files that it names, and looks for an `exec` plugin.
    ///
    /// Neither runs the plugin nor connects. With it, a program can reject a wrong configuration at its start. Blocks on
    /// files for at most a [`request_timeout`](Self::request_timeout).
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`], which names the file and the problem. [`DiscoveryError::Timeout`] if a file cannot be
    /// read in time.
    pub fn check(&self) -> Result<(), DiscoveryError> {
        self.in_time(Self::check_files)?
    }

    /// Runs `work` on a thread of its own, limited by the request time-out.
    fn in_time<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, DiscoveryError> {
        let cluster = self.clone();
        read_blocking(&self.what(), self.limits.request_timeout, move || {
            work(&cluster)
        })
    }

    fn check_files(&self) -> Result<(), DiscoveryError> {
        let ClusterConfig {
            config,
            credentials,
            ..
        } = self.load()?;
        credentials
            .check()
            .map_err(|problem| self.config(&problem))?;
        let tls = config.rustls_client_config();
        tls.map(drop)
            .map_err(|error| self.config(&root_cause(&error)))
    }

    /// Makes the client of one watch. Connects lazily: sends nothing yet.
    pub(crate) async fn open(&self) -> Result<ApiClient, DiscoveryError> {
        let what = self.what();
        let reader = FileReader::new(&self.reading, self.limits.request_timeout);
        let cluster = self.clone();
        let loaded = reader.read(&what, move || cluster.load()).await??;
        let url = loaded.config.cluster_url.to_string();
        let access = AuthenticatedClient {
            what: what.into(),
            loaded,
            reader,
            // The other half is for TLS and for the answer.
            connect_timeout: self.limits.request_timeout / 2,
            plugin_timeout: self.plugin_timeout,
            in_use: Mutex::default(),
        };
        Ok(ApiClient::new(
            access,
            url.trim_end_matches('/'),
            self.limits,
        ))
    }

    fn load(&self) -> Result<ClusterConfig, DiscoveryError> {
        let context = self.context.as_deref();
        let loaded = match &self.place {
            ConfigOrigin::File(path) => kubeconfig::of_file(path, context),
            ConfigOrigin::InCluster => kubeconfig::of_pod(),
            ConfigOrigin::Inferred => kubeconfig::inferred(context),
        };
        loaded.map_err(|problem| self.config(&problem))
    }

    fn config(&self, problem: &str) -> DiscoveryError {
        error::config(&self.what(), problem)
    }

    fn what(&self) -> String {
        format!("reading {self}")
    }

    /// Distinguishes the labels of sources of several clusters. Empty for the default cluster.
    pub(crate) fn label(&self) -> String {
        let file = |path: &Path| {
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        match (&self.context, &self.place) {
            (Some(context), _) => format!("@{context}"),
            (None, ConfigOrigin::File(path)) => {
                file(path).map_or_else(String::new, |s| format!("@{s}"))
            }
            (None, ConfigOrigin::InCluster | ConfigOrigin::Inferred) => String::new(),
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            ConfigOrigin::File(path) => write!(f, "the kubeconfig {}", path.display())?,
            ConfigOrigin::InCluster => f.write_str("the pod's service account")?,
            ConfigOrigin::Inferred => {
                f.write_str("the kubeconfig or service account of the environment")?
            }
        }
        match &self.context {
            Some(context) => write!(f, ", context {context:?}"),
            None => Ok(()),
        }
    }
}
