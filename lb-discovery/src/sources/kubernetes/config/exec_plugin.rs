//! Exec plugins: programs of a kubeconfig that print credentials.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::time::Instant;
use tracing::warn;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::config::credentials::{
    ClientCertificate, Credentials, Secret, bearer,
};
use crate::sources::kubernetes::config::exec_process::{PluginProcess, ProcessError};
use crate::sources::kubernetes::error;

/// How long before their expiry credentials are renewed, unless that is more than half of their lifetime.
const LEEWAY: Duration = Duration::from_secs(60);

/// The minimum time between two runs of a plugin, unless the server refuses the credentials.
const MIN_USE: Duration = Duration::from_secs(5);

/// The supported versions of the protocol between client and plugin.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

pub(crate) struct ExecPlugin {
    command: String,
    version: String,
    exec: ExecConfig,
    /// The value of `$KUBERNETES_EXEC_INFO`.
    info: String,
    /// Whether expired credentials were logged.
    logged_expired: AtomicBool,
}

impl ExecPlugin {
    pub(crate) fn new(exec: ExecConfig) -> Result<Self, String> {
        let command = exec.command.clone().unwrap_or_default();
        if command.is_empty() {
            return Err("the exec plugin has no command".to_owned());
        }
        let version = exec.api_version.clone().unwrap_or_default();
        if !VERSIONS.contains(&&*version) {
            return Err(format!(
                "the exec plugin {command:?} has the apiVersion {version:?}: it must be {} or {}",
                VERSIONS[0], VERSIONS[1]
            ));
        }
        if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(format!(
                "the exec plugin {command:?} asks at a terminal (interactiveMode: Always), and there is none"
            ));
        }
        let mut spec = json!({"interactive": false});
        if let Some(cluster) = exec.cluster.as_ref().filter(|_| exec.provide_cluster_info) {
            spec["cluster"] = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
        }
        let info = json!({"apiVersion": version, "kind": "ExecCredential", "spec": spec});
        Ok(Self {
            command,
            version,
            info: info.to_string(),
            logged_expired: AtomicBool::new(false),
            exec,
        })
    }

    /// Finds the program: in the `$PATH` of this process, as kubectl does, and then in the one that the kubeconfig sets for
    /// the plugin. Blocks on files.
    pub(crate) fn find(&self) -> Result<PathBuf, String> {
        let is_program = |path: &Path| {
            path.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let found = if self.command.contains('/') {
            Some(PathBuf::from(&self.command)).filter(|path| is_program(path))
        } else {
            let given = self.variables().filter(|(name, _)| *name == "PATH");
            let given = given.last().map(|(_, path)| OsString::from(path));
            let lists: Vec<_> = env::var_os("PATH").into_iter().chain(given).collect();
            let mut dirs = lists.iter().flat_map(env::split_paths);
            dirs.find_map(|dir| {
                // An empty entry means the working directory; a path without a slash would be searched for in the PATH.
                let dir = if dir.as_os_str().is_empty() {
                    ".".into()
                } else {
                    dir
                };
                Some(dir.join(&self.command)).filter(|path| is_program(path))
            })
        };
        found.ok_or_else(|| self.missing())
    }

    /// The variables that the kubeconfig adds to the environment of the plugin.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.exec.env.iter().flatten();
        variables.filter_map(|variable| Some((&**variable.get("name")?, &**variable.get("value")?)))
    }

    /// Runs the program. When `limit` is over or the future is dropped, the program and its child processes are killed.
    /// `what` names the kubeconfig in errors.
    pub(crate) async fn run(
        &self,
        what: &str,
        limit: Duration,
    ) -> Result<Credentials, DiscoveryError> {
        let unavailable = |problem: &str| error::unavailable(what, problem);
        let program = self
            .find()
            .map_err(|problem| error::config(what, &problem))?;
        let child = match self.command(&program).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(error::config(what, &self.missing()));
            }
            Err(error) => {
                return Err(unavailable(&format!("{self} cannot be started: {error}")));
            }
        };
        let is_complete = |output: &[u8]| self.given(output).is_ok();
        let output = PluginProcess(child).output(limit, is_complete).await;
        let output = output.map_err(|problem| match problem {
            ProcessError::Hung => {
                let problem = format!("{self} did not end within {limit:?} and was killed");
                error::timeout(what, problem)
            }
            ProcessError::Held => {
                let problem = format!(
                    "{self} ended without an answer, but a process that it started kept its output open for \
                     {limit:?} and was killed"
                );
                error::timeout(what, problem)
            }
            ProcessError::Io(error) => unavailable(&format!("{self}: {error}")),
        })?;
        if output.was_held {
            warn!(plugin = ?self.command, "Child process of the exec plugin killed: it kept the output open");
        }
        if !output.status.success() {
            let said = error::shortened(&String::from_utf8_lossy(&output.stderr));
            let said = if said.is_empty() { "nothing" } else { &said };
            let problem = format!("{self} failed with {}, and said: {said}", output.status);
            return Err(unavailable(&problem));
        }
        self.given(&output.stdout)
            .map_err(|problem| unavailable(&format!("{self}: {problem}")))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg0(&self.command)
            .args(self.exec.args.iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command.envs(self.variables());
        command.env("KUBERNETES_EXEC_INFO", &self.info);
        command
    }

    fn missing(&self) -> String {
        let hint = self.exec.install_hint.as_deref().unwrap_or_default();
        let hint = error::shortened(hint);
        let colon = if hint.is_empty() { "" } else { ": " };
        format!("{self} does not exist, or is not in the PATH: install it{colon}{hint}")
    }

    fn given(&self, output: &[u8]) -> Result<Credentials, String> {
        let answer: ExecCredential = serde_saphyr::from_slice(output)
            .map_err(|error| format!("its answer is no ExecCredential: {}", first_line(&error)))?;
        let version = answer.api_version.unwrap_or_default();
        if version != self.version {
            return Err(format!(
                "its answer has the apiVersion {version:?} instead of {:?}",
                self.version
            ));
        }
        let status = answer.status.ok_or("its answer has no status")?;
        let nonempty = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = nonempty(status.token);
        let certificate = nonempty(status.client_certificate_data);
        let identity = match (certificate, nonempty(status.client_key_data)) {
            (Some(certificate), Some(key)) => Some(ClientCertificate {
                certificate,
                key: Secret(key),
            }),
            (None, None) if token.is_none() => {
                return Err("its answer has neither a token nor a certificate".to_owned());
            }
            (None, None) => None,
            _ => return Err("its answer has only one of certificate and key".to_owned()),
        };
        Ok(Credentials {
            header: token.map(|token| bearer(token.trim())).transpose()?,
            identity,
            until: status.expiration_timestamp.map(|Time(expiry)| {
                let left = expiry.duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                if left.is_zero() && !self.logged_expired.swap(true, Ordering::Relaxed) {
                    let plugin = &self.command;
                    warn!(plugin, %expiry, "Exec plugin returned expired credentials: check this machine's clock");
                }
                Instant::now() + use_of(left)
            }),
        })
    }
}

impl fmt::Display for ExecPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exec plugin {:?}", self.command)
    }
}

/// How long to use credentials that expire after `left`.
fn use_of(left: Duration) -> Duration {
    let leeway = LEEWAY.min(left / 2);
    (left - leeway).clamp(MIN_USE, crate::timing::refresh_hints::FAR)
}

/// The output of a plugin: JSON or, as in client-go, YAML.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    status: Option<Credential>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    expiration_timestamp: Option<Time>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// The first line of a YAML error. The rest may be an excerpt of the input, which contains secrets.
fn first_line(error: &impl ToString) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_renewed_before_they_expire_and_no_plugin_runs_without_pause() {
        for (left, used) in [(0, 5), (8, 5), (40, 20), (120, 60), (600, 540)] {
            let (left, used) = (Duration::from_secs(left), Duration::from_secs(used));
            assert_eq!(use_of(left), used, "{left:?}");
        }
        assert_eq!(use_of(Duration::MAX), crate::timing::refresh_hints::FAR);
    }
}
