//! Programs that give credentials: the `exec` of a kubeconfig.

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
use crate::sources::kubernetes::config::exec_process::{Problem, Running};
use crate::sources::kubernetes::config::given::{Given, Identity, Secret, bearer};
use crate::sources::kubernetes::error;

/// How long before they expire credentials are replaced, unless that is more than half of their time.
const LEEWAY: Duration = Duration::from_secs(60);

/// The least time from one run of a plugin to the next, unless the credentials are refused.
const MIN_USE: Duration = Duration::from_secs(5);

/// The versions of the protocol between a client and a plugin.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

pub(crate) struct Plugin {
    command: String,
    version: String,
    exec: ExecConfig,
    /// What the plugin finds in `$KUBERNETES_EXEC_INFO`.
    info: String,
    /// Whether it was told that the credentials have expired.
    told_expired: AtomicBool,
}

impl Plugin {
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
                "the exec plugin {command:?} wants to ask at a terminal (interactiveMode: Always), and there is none"
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
            told_expired: AtomicBool::new(false),
            exec,
        })
    }

    /// Looks for the program: as kubectl does in our `$PATH`, and after that in the one that the kubeconfig gives to the
    /// plugin. Blocks on files.
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
                // An empty entry means the working directory, and a name without a slash would be looked for again.
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

    /// What the kubeconfig adds to the environment of the plugin.
    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.exec.env.iter().flatten();
        variables.filter_map(|variable| Some((&**variable.get("name")?, &**variable.get("value")?)))
    }

    /// Runs the program. It is killed, with the processes that it started, when `limit` is over or the future is
    /// dropped. `what` names the kubeconfig.
    pub(crate) async fn run(&self, what: &str, limit: Duration) -> Result<Given, DiscoveryError> {
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
        let output = Running(child).output(limit, is_complete).await;
        let output = output.map_err(|problem| match problem {
            Problem::Hung => {
                let problem = format!("{self} did not end within {limit:?} and was killed");
                error::timeout(what, problem)
            }
            Problem::Held => {
                let problem = format!(
                    "{self} ended without an answer, but a process that it started kept its output open for \
                     {limit:?} and was killed"
                );
                error::timeout(what, problem)
            }
            Problem::Io(error) => unavailable(&format!("{self}: {error}")),
        })?;
        if output.was_held {
            warn!(plugin = ?self.command, "Process killed that kept the output of its exec plugin open");
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

    fn given(&self, output: &[u8]) -> Result<Given, String> {
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
            (Some(certificate), Some(key)) => Some(Identity {
                certificate,
                key: Secret(key),
            }),
            (None, None) if token.is_none() => {
                return Err("its answer has neither a token nor a certificate".to_owned());
            }
            (None, None) => None,
            _ => return Err("its answer has only one of certificate and key".to_owned()),
        };
        Ok(Given {
            header: token.map(|token| bearer(token.trim())).transpose()?,
            identity,
            until: status.expiration_timestamp.map(|Time(expiry)| {
                let left = expiry.duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                if left.is_zero() && !self.told_expired.swap(true, Ordering::Relaxed) {
                    let plugin = &self.command;
                    warn!(plugin, %expiry, "Exec plugin gave credentials that have expired: is this machine's clock right?");
                }
                Instant::now() + use_of(left)
            }),
        })
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exec plugin {:?}", self.command)
    }
}

/// How long to use credentials that expire after the time `left`.
fn use_of(left: Duration) -> Duration {
    let leeway = LEEWAY.min(left / 2);
    (left - leeway).clamp(MIN_USE, crate::timing::refresh_hints::FAR)
}

/// What a plugin answers, in JSON or, as client-go accepts it, YAML.
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

/// An error of YAML may go on with an excerpt of the input, which has secrets in it.
fn first_line(error: &impl ToString) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_replaced_before_they_expire_and_no_plugin_runs_all_the_time() {
        for (left, used) in [(0, 5), (8, 5), (40, 20), (120, 60), (600, 540)] {
            let (left, used) = (Duration::from_secs(left), Duration::from_secs(used));
            assert_eq!(use_of(left), used, "{left:?}");
        }
        assert_eq!(use_of(Duration::MAX), crate::timing::refresh_hints::FAR);
    }
}
