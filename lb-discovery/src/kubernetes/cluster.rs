//! How to reach a cluster.

mod identity;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::{Config, Kubeconfig, KubeconfigError};
use tokio::task::spawn_blocking;

use super::failure::root_cause;
use super::session::Session;
use crate::error::DiscoveryError;

/// The API of a cluster, and how to be let in.
///
/// Nothing is read before a watch is opened, and each watch reads everything again: the kubeconfig, the CA, client
/// certificates and keys, tokens. So what is rotated while a watch runs is in use at the next one, and a watch whose
/// credentials are refused is opened again within a second. Besides, a token file is read again every minute, as
/// Kubernetes asks of its clients.
///
/// Credentials may be a token, a token file, a client certificate or an `exec` plugin, which may take its time but not
/// ask at a terminal. A `proxy-url` is honoured. TLS is rustls with ring; where the program around has several
/// providers of rustls built in, it must install one as the default.
#[derive(Clone, Debug)]
pub struct Cluster {
    place: Place,
    context: Option<Arc<str>>,
    pub(super) request_timeout: Duration,
    pub(super) watch_timeout: Duration,
    pub(super) relist_interval: Duration,
    pub(super) page_size: u32,
    pub(super) confirm_empty: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    InCluster,
    Inferred,
}

impl Cluster {
    /// The cluster that the program runs in; else the current context of `$KUBECONFIG`, which may be several files, or
    /// of `~/.kube/config`.
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
            request_timeout: Duration::from_secs(15),
            watch_timeout: Duration::from_secs(60),
            relist_interval: Duration::from_secs(300),
            page_size: 100,
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
        self.page_size = page_size.max(1);
        self
    }

    /// How long events are believed before all objects are listed again: of a server that was restored from a backup
    /// and has overtaken the version known here meanwhile, nothing else shows what changed. Up to a tenth is added at
    /// random. A watch that is under way ends first, so it may be a [`watch_timeout`](Self::watch_timeout) later.
    /// Default: 5 min; less than 1 s counts as 1 s.
    #[must_use]
    pub fn relist_interval(mut self, relist_interval: Duration) -> Self {
        self.relist_interval = relist_interval.max(Duration::from_secs(1));
        self
    }

    /// How long the server may take for one page of a list, or to begin a watch. Default: 15 s.
    #[must_use]
    pub fn request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// How long one request to watch lasts, in whole seconds. When it ends the next one goes on from there, without
    /// another list. A server that has frozen is noticed after this time and twice the
    /// [`request_timeout`](Self::request_timeout). Default: 60 s; less than 1 s counts as 1 s.
    #[must_use]
    pub fn watch_timeout(mut self, watch_timeout: Duration) -> Self {
        self.watch_timeout = watch_timeout.max(Duration::from_secs(1));
        self
    }

    /// Reads the configuration and the CA that it names, without connecting. For a program that wants to refuse a wrong
    /// configuration at its start. Blocks on files; does not run an `exec` plugin.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Config`], which names the file and what is wrong.
    pub fn check(&self) -> Result<(), DiscoveryError> {
        self.load().map(drop)
    }

    /// Connects lazily: nothing is sent yet.
    pub(super) async fn open(&self) -> Result<Session, DiscoveryError> {
        let cluster = self.clone();
        let (client, url) = spawn_blocking(move || {
            let config = cluster.load()?;
            let url = config.cluster_url.to_string();
            let client = kube::Client::try_from(config).map_err(|error| cluster.config(&error))?;
            Ok::<_, DiscoveryError>((client, url))
        })
        .await
        .map_err(|error| self.config(&error))??;
        Ok(Session::new(client, url.trim_end_matches('/'), self))
    }

    fn load(&self) -> Result<Config, DiscoveryError> {
        let mut config = match &self.place {
            Place::File(path) => self.read(Kubeconfig::read_from(path))?,
            Place::InCluster => Config::incluster().map_err(|error| self.config(&error))?,
            Place::Inferred if self.is_inside() => {
                Config::incluster().map_err(|error| self.config(&error))?
            }
            Place::Inferred => self.read(Kubeconfig::read())?,
        };
        config.connect_timeout = Some(self.request_timeout);
        // The driver retries, with its own delays.
        config.default_retry = false;
        Ok(config)
    }

    /// As client-go does it: the environment of a pod counts, unless a context says otherwise.
    fn is_inside(&self) -> bool {
        self.context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }

    fn read(&self, file: Result<Kubeconfig, KubeconfigError>) -> Result<Config, DiscoveryError> {
        let config = file.and_then(|mut file| {
            if let Some(context) = &self.context {
                file.current_context = Some(context.to_string());
            }
            Config::try_from(file)
        });
        config.map_err(|error| self.config(&error))
    }

    fn config(&self, error: &(dyn std::error::Error + 'static)) -> DiscoveryError {
        DiscoveryError::Config {
            what: format!("reading {self}").into(),
            problem: root_cause(error).into(),
            source: None,
        }
    }

    /// Tells sources of several clusters apart.
    pub(super) fn label(&self) -> String {
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
            Place::Inferred if self.is_inside() => f.write_str("the pod's service account")?,
            Place::Inferred => f.write_str("the kubeconfig of $KUBECONFIG or ~/.kube/config")?,
        }
        match &self.context {
            Some(context) => write!(f, ", context {context:?}"),
            None => Ok(()),
        }
    }
}
