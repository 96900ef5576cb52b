//! Programs that give credentials: the `exec` of a kubeconfig.

mod process;

use std::env;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;
use tokio::time::Instant;
use tracing::warn;

use self::process::{Problem, Running};
use super::credentials::{Given, Identity, Secret, bearer};
use super::failure;
use crate::error::DiscoveryError;

/// How long before they expire credentials are replaced.
const LEEWAY: Duration = Duration::from_secs(60);

/// The versions of the protocol between a client and a plugin.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

pub(super) struct Plugin {
    command: String,
    version: String,
    exec: ExecConfig,
    /// What the plugin finds in `$KUBERNETES_EXEC_INFO`.
    info: String,
}

impl Plugin {
    pub(super) fn new(exec: ExecConfig) -> Result<Self, String> {
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
            exec,
        })
    }

    /// Looks for the program as the system will.
    pub(super) fn find(&self) -> Result<(), String> {
        let is_program = |path: &Path| {
            path.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let path = env::var_os("PATH").unwrap_or_default();
        let found = if self.command.contains('/') {
            is_program(Path::new(&self.command))
        } else {
            env::split_paths(&path).any(|dir| is_program(&dir.join(&self.command)))
        };
        if found { Ok(()) } else { Err(self.missing()) }
    }

    /// Runs the program. It is killed, with the processes that it started, when `limit` is over or the future is
    /// dropped. `what` names the kubeconfig.
    pub(super) async fn run(&self, what: &str, limit: Duration) -> Result<Given, DiscoveryError> {
        let unavailable = |problem: &str| failure::unavailable(what, problem);
        let child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(failure::config(what, &self.missing()));
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
                failure::timeout(what, problem)
            }
            Problem::Held => {
                let problem = format!(
                    "{self} ended without an answer, but a process that it started kept its output open for \
                     {limit:?} and was killed"
                );
                failure::timeout(what, problem)
            }
            Problem::Io(error) => unavailable(&format!("{self}: {error}")),
        })?;
        if output.was_held {
            warn!(plugin = ?self.command, "Process killed that kept the output of its exec plugin open");
        }
        if !output.status.success() {
            let said = failure::shortened(&String::from_utf8_lossy(&output.stderr));
            let said = if said.is_empty() { "nothing" } else { &said };
            let problem = format!("{self} failed with {}, and said: {said}", output.status);
            return Err(unavailable(&problem));
        }
        self.given(&output.stdout)
            .map_err(|problem| unavailable(&format!("{self}: {problem}")))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.command);
        command
            .args(self.exec.args.iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        for variable in self.exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        command.env("KUBERNETES_EXEC_INFO", &self.info);
        command
    }

    fn missing(&self) -> String {
        let hint = self.exec.install_hint.as_deref().unwrap_or_default();
        let hint = failure::shortened(hint);
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
                Instant::now() + left.saturating_sub(LEEWAY).min(crate::hints::FAR)
            }),
        })
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exec plugin {:?}", self.command)
    }
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
