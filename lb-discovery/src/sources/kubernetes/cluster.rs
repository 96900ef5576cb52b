//! How to reach a cluster.

mod identity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::client::ConfigExt;
use tokio::sync::{Mutex, Semaphore};

use crate::error::DiscoveryError;
use crate::file_io::blocking::read_blocking;
use crate::file_io::reader::Reader;
use crate::sources::kubernetes::api::access::Access;
use crate::sources::kubernetes::api::requests::{Limits, Session};
use crate::sources::kubernetes::config::kubeconfig::{self, Loaded};
use crate::sources::kubernetes::error::{self, root_cause};

/// The API of a cluster, and how to be let in.
///
/// Nothing is read before a watch is opened, and each watch reads everything again: the kubeconfig, the CA, client
/// certificates and keys, tokens. So what is rotated while a watch runs is in use at the next one, and a watch whose
/// credentials are refused is opened again within a second. Besides, a token file is read again every minute, as
/// Kubernetes asks of its clients, and a plugin runs again a minute before its credentials expire, or at half of their
/// time if that is later, but not within five seconds.
///
/// Credentials may be a token, a token file (which counts where there are both), a client certificate or an `exec`
/// plugin, which must not ask at a terminal. A `proxy-url` is honoured, and without one `$HTTPS_PROXY`, `$HTTP_PROXY`
/// and `$NO_PROXY`. TLS is rustls with ring; where the program around has several providers of rustls built in, it must
/// install one as the default. The runtime needs its I/O enabled.
#[derive(Clone, Debug)]
pub struct Cluster {
    place: Place,
    context: Option<Arc<str>>,
    plugin_timeout: Duration,
    /// Held while files are read.
    reading: Arc<Semaphore>,
    limits: Limits,
    pub(crate) confirm_empty: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    InCluster,
    Inferred,
}

impl Cluster {
    /// The cluster that kubectl would use: the current context of `$KUBECONFIG`, which may be several files, or without
    /// one of `~/.kube/config`; else the cluster that the program runs in. Files that do not exist are passed over.
    pub fn inferred() -> Self {
        Self::new(Place::Inferred)
    }

    /// The cluster that the program runs in, by the service account of its pod.
    pub fn in_cluster() -> Self {
        Self::new(Place::InCluster)
    }

    /// The current context of the kubeconfig file at `path`.
    pub fn kubeconfig(path: impl Into<PathBuf>) -> Self {
        Self::new(Place::File(path.into()))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            context: None,
            plugin_timeout: Duration::from_secs(20),
            reading: Arc::new(Semaphore::new(1)),
            limits: Limits {
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

    /// How long a list that was empty must go on being empty to be believed, when something was known before: an API
    /// server that restarts or lost its data must not wipe the pool. Objects that are deleted while they are watched
    /// are believed at once. Default: 10 s.
    #[must_use]
    pub fn confirm_empty(mut self, confirm_empty: Duration) -> Self {
        self.confirm_empty = confirm_empty;
        self
    }

    /// How many objects are asked for at a time. Default: 100; 0 counts as 1.
    #[must_use]
    pub fn page_size(mut self, page_size: u32) -> Self {
        self.limits.page_size = page_size.max(1);
        self
    }

    /// How long events are believed before all objects are listed again: of a server that was restored from a backup
    /// and has overtaken the version known here meanwhile, nothing else shows what changed. Up to a tenth is added at
    /// random. A watch that is under way ends first, so it may be a [`watch_timeout`](Self::watch_timeout) later.
    /// Default: 5 min; less than 1 s counts as 1 s.
    #[must_use]
    pub fn relist_interval(mut self, relist_interval: Duration) -> Self {
        self.limits.relist_interval = relist_interval.max(Duration::from_secs(1));
        self
    }

    /// How long the server may take for one page of a list, or to begin a watch, the connection included: half of it is
    /// for all addresses of the server together. Default: 15 s.
    #[must_use]
    pub fn request_timeout(mut self, request_timeout: Duration) -> Self {
        self.limits.request_timeout = request_timeout;
        self
    }

    /// How long one request to watch lasts, in whole seconds. When it ends the next one goes on from there, without
    /// another list. A server that has frozen is noticed after this time and twice the
    /// [`request_timeout`](Self::request_timeout). Default: 60 s; less than 1 s counts as 1 s.
    #[must_use]
    pub fn watch_timeout(mut self, watch_timeout: Duration) -> Self {
        self.limits.watch_timeout = watch_timeout.max(Duration::from_secs(1));
        self
    }

    /// How long an `exec` plugin may take to give credentials. When the time is over the plugin is killed, with the
    /// processes that it started. Default: 20 s.
    #[must_use]
    pub fn plugin_timeout(mut self, plugin_timeout: Duration) -> Self {
        self.plugin_timeout = plugin_timeout;
        self
    }

    /// Reads the configuration and the files that it names, and looks for an `exec` plugin, without running it and
    /// without connecting. For a program that wants to refuse a wrong configuration at its start. Blocks on files, for
    /// a [`request_timeout`](Self::request_timeout) at most.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`], which names the file and what is wrong. [`DiscoveryError::Timeout`] where a file
    /// cannot be read in time.
    pub fn check(&self) -> Result<(), DiscoveryError> {
        self.in_time(Self::check_files)?
    }

    /// Does `work` on a thread of its own, within the time for a request.
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
        let Loaded {
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

    /// Connects lazily: nothing is sent yet.
    pub(crate) async fn open(&self) -> Result<Session, DiscoveryError> {
        let what = self.what();
        let reader = Reader::new(&self.reading, self.limits.request_timeout);
        let cluster = self.clone();
        let loaded = reader.read(&what, move || cluster.load()).await??;
        let url = loaded.config.cluster_url.to_string();
        let access = Access {
            what: what.into(),
            loaded,
            reader,
            // The other half is for TLS and for the answer.
            connect_timeout: self.limits.request_timeout / 2,
            plugin_timeout: self.plugin_timeout,
            in_use: Mutex::default(),
        };
        Ok(Session::new(access, url.trim_end_matches('/'), self.limits))
    }

    fn load(&self) -> Result<Loaded, DiscoveryError> {
        let context = self.context.as_deref();
        let loaded = match &self.place {
            Place::File(path) => kubeconfig::of_file(path, context),
            Place::InCluster => kubeconfig::of_pod(),
            Place::Inferred => kubeconfig::inferred(context),
        };
        loaded.map_err(|problem| self.config(&problem))
    }

    fn config(&self, problem: &str) -> DiscoveryError {
        error::config(&self.what(), problem)
    }

    fn what(&self) -> String {
        format!("reading {self}")
    }

    /// Tells sources of several clusters apart.
    pub(crate) fn label(&self) -> String {
        let file = |path: &Path| {
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        };
        match (&self.context, &self.place) {
            (Some(context), _) => format!("@{context}"),
            (None, Place::File(path)) => file(path).map_or_else(String::new, |s| format!("@{s}")),
            (None, Place::InCluster | Place::Inferred) => String::new(),
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "the kubeconfig {}", path.display())?,
            Place::InCluster => f.write_str("the pod's service account")?,
            Place::Inferred => {
                f.write_str("the kubeconfig or service account of the environment")?
            }
        }
        match &self.context {
            Some(context) => write!(f, ", context {context:?}"),
            None => Ok(()),
        }
    }
}
