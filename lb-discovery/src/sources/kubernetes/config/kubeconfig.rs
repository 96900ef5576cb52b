//! From kubeconfig files, or the service account of a pod, to the settings of a connection, as in client-go.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Authority;
use hyper_util::client::proxy::matcher::Intercept;
use kube::config::{Cluster, Config, Kubeconfig, KubeconfigError};

use crate::sources::kubernetes::config::credential_source::CredentialSource;
use crate::sources::kubernetes::config::proxy;
use crate::sources::kubernetes::config::redacted::redacted;
use crate::sources::kubernetes::error::{root_cause, shortened};

/// The token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The settings of a connection, from a kubeconfig or a pod.
pub(crate) struct ClusterConfig {
    /// Without a user: `credentials` has it.
    pub(crate) config: Config,
    pub(crate) credentials: CredentialSource,
    pub(crate) proxy: Option<Intercept>,
}

impl ClusterConfig {
    /// Identifies the API server: its address, and the proxy and the certificate name, which may lead to another server at
    /// the same address. Excludes credentials and authorities, because their rotation does not make another cluster. The
    /// text holds no password.
    pub(crate) fn destination(&self) -> String {
        let url = self.config.cluster_url.to_string();
        let mut destination = url.trim_end_matches('/').to_owned();
        if let Some(proxy) = &self.proxy {
            destination += &format!(" by the proxy {}", proxy.uri());
        }
        if let Some(name) = &self.config.tls_server_name {
            destination += &format!(" as {name:?}");
        }
        destination
    }
}

/// Reads the file at `path`, with the given or the current context.
pub(crate) fn of_file(path: &Path, context: Option<&str>) -> Result<ClusterConfig, String> {
    of(read(path).map_err(|error| worded(&error))?, context)
}

/// Reads the service account of the pod that the program runs in.
pub(crate) fn of_pod() -> Result<ClusterConfig, String> {
    let mut config = Config::incluster()
        .map_err(|error| format!("{error}; does the program run in a pod with an account?"))?;
    // kube would read the file again on a thread that carries sessions. The next watch reads a fresh one.
    config.root_cert_file = None;
    let credentials = CredentialSource::take(&mut config.auth_info)?;
    Ok(ClusterConfig {
        config,
        credentials,
        proxy: None,
    })
}

/// Reads the files of `$KUBECONFIG`, or else `~/.kube/config`; if they are empty, the pod's service account.
pub(crate) fn inferred(context: Option<&str>) -> Result<ClusterConfig, String> {
    let files = KubeconfigFiles::of_environment();
    let merged = files.merge()?;
    if !is_empty(&merged) {
        return of(merged, context);
    }
    if context.is_none() && is_in_pod() {
        return of_pod();
    }
    Err(files.missing())
}

/// The kubeconfigs of the environment. The first one that sets a value takes precedence.
struct KubeconfigFiles {
    paths: Vec<PathBuf>,
}

impl KubeconfigFiles {
    fn of_environment() -> Self {
        Self::new(env::var_os("KUBECONFIG"), env::home_dir())
    }

    fn new(list: Option<OsString>, home: Option<PathBuf>) -> Self {
        let listed = list.iter().flat_map(env::split_paths);
        let mut paths: Vec<_> = listed.filter(|p| !p.as_os_str().is_empty()).collect();
        if paths.is_empty() {
            paths.extend(home.map(|home| home.join(".kube/config")));
        }
        Self { paths }
    }

    /// Merges the files. Skips files that do not exist.
    fn merge(&self) -> Result<Kubeconfig, String> {
        let mut merged = Kubeconfig::default();
        for path in &self.paths {
            let file = match read(path) {
                Err(KubeconfigError::ReadConfig(error, _))
                    if error.kind() == io::ErrorKind::NotFound =>
                {
                    continue;
                }
                file => file,
            };
            let next = file.and_then(|file| merged.merge(file));
            merged = next.map_err(|error| format!("{}: {}", path.display(), worded(&error)))?;
        }
        Ok(merged)
    }

    fn missing(&self) -> String {
        let paths: Vec<_> = self.paths.iter().map(|p| p.display().to_string()).collect();
        let account = match env::var_os("KUBERNETES_SERVICE_HOST") {
            Some(_) => format!("the pod has no service account token ({POD_TOKEN})"),
            None => "the program does not run in a pod".to_owned(),
        };
        format!(
            "no kubeconfig says how to reach a cluster (looked for: {}), and {account}",
            paths.join(", ")
        )
    }
}

fn is_empty(file: &Kubeconfig) -> bool {
    file.clusters.is_empty() && file.contexts.is_empty() && file.auth_infos.is_empty()
}

/// Whether the program runs in a pod, by the conditions of client-go.
fn is_in_pod() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("KUBERNETES_SERVICE_HOST")
        && is_set("KUBERNETES_SERVICE_PORT")
        && Path::new(POD_TOKEN).is_file()
}

fn read(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let mut file = Kubeconfig::read_from(path)?;
    file.current_context = file.current_context.filter(|context| !context.is_empty());
    Ok(file)
}

fn of(mut file: Kubeconfig, context: Option<&str>) -> Result<ClusterConfig, String> {
    if let Some(context) = context {
        file.current_context = Some(context.to_owned());
    }
    let cluster = cluster_of(&file);
    if let Some(server) = cluster.and_then(|cluster| cluster.server.as_deref()) {
        check_server(server)?;
    }
    let proxy_url = cluster.and_then(|cluster| cluster.proxy_url.clone());
    let mut config = Config::try_from(file).map_err(|error| worded(&error))?;
    let proxy = proxy::of(proxy_url.as_deref(), &config.cluster_url)?;
    let credentials = CredentialSource::take(&mut config.auth_info)?;
    Ok(ClusterConfig {
        config,
        credentials,
        proxy,
    })
}

/// The cluster of the current context.
fn cluster_of(file: &Kubeconfig) -> Option<&Cluster> {
    let current = file.current_context.as_ref()?;
    let context = file.contexts.iter().find(|c| c.name == *current)?;
    let name = &context.context.as_ref()?.cluster;
    let cluster = file.clusters.iter().find(|c| c.name == *name)?;
    cluster.cluster.as_ref()
}

/// Rejects a server address that would make every connection fail with an unclear error.
fn check_server(server: &str) -> Result<(), String> {
    let shown = redacted(server);
    if !server.contains("://") {
        return Err(format!(
            "the cluster's server {shown:?} has no scheme: write https://{shown}"
        ));
    }
    let url: Uri = server
        .parse()
        .map_err(|error| format!("the cluster's server {shown:?} is not a URL: {error}"))?;
    let authority = url.authority().map(Authority::as_str);
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err(format!(
            "the cluster's server {shown:?} has a user before its host: write username and password, or a token, \
             to the user of the context"
        ));
    }
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        _ => Err(format!(
            "the cluster's server {shown:?} is no address of an API: write https://HOST:PORT"
        )),
    }
}

fn worded(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ParseNoProxy(cause) => format!("{error}: {cause}"),
        KubeconfigError::CurrentContextNotSet => {
            "it has no current-context: set one, or choose a context".to_owned()
        }
        KubeconfigError::MissingClusterUrl => {
            "the context's cluster has no server: write https://HOST:PORT".to_owned()
        }
        // The lines after the first one are an excerpt of the file, which contains secrets.
        KubeconfigError::Parse(cause) => {
            let cause = cause.to_string();
            let cause = cause.lines().next().unwrap_or_default();
            shortened(&format!("failed to parse kubeconfig YAML: {cause}"))
        }
        error => root_cause(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_takes_precedence_over_the_home_directory() {
        let files = |list: Option<&str>| {
            let files = KubeconfigFiles::new(list.map(OsString::from), Some("/home/lb".into()));
            files.paths
        };
        assert_eq!(files(Some("/a::/b")), [Path::new("/a"), Path::new("/b")]);
        for none in [None, Some(""), Some("::")] {
            assert_eq!(files(none), [Path::new("/home/lb/.kube/config")]);
        }
    }

    #[test]
    fn servers_are_urls_with_a_scheme() {
        for right in [
            "https://10.0.0.1:6443",
            "http://api",
            "https://[::1]/k8s/c-1",
        ] {
            assert_eq!(check_server(right), Ok(()));
        }
        for (server, problem) in [
            (
                "10.0.0.1:6443",
                "has no scheme: write https://10.0.0.1:6443",
            ),
            (
                "api.example.com",
                "has no scheme: write https://api.example.com",
            ),
            ("ftp://10.0.0.1", "write https://HOST:PORT"),
            ("https://a b", "is not a URL"),
        ] {
            let error = check_server(server).unwrap_err();
            assert!(error.contains(problem) && error.contains(server), "{error}");
        }
    }

    #[test]
    fn no_message_shows_a_secret() {
        for server in [
            "https://me:SECRET@10.0.0.1:6443",
            "me:SECRET@10.0.0.1:6443",
            "ftp://me:SECRET@10.0.0.1:6443",
            "https://me:SEC RET@10.0.0.1:6443",
        ] {
            let error = check_server(server).unwrap_err();
            assert!(error.contains("10.0.0.1:6443"), "{error}");
            assert!(!error.contains("SEC"), "{error}");
        }
        for text in [
            "users: [{name: u, user: {token: SECRET}}]\nclusters: [{name: ",
            "users:\n- name: u\n  user: {token: SECRET, exec: SECRET}\n",
            "users:\n- name: u\n  user:\n    token: SECRET\n   password: SECRET\n",
            "users: SECRET\n",
        ] {
            let error = Kubeconfig::from_yaml(text).unwrap_err();
            let error = worded(&error);
            assert!(
                error.starts_with("failed to parse kubeconfig YAML: "),
                "{error}"
            );
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
