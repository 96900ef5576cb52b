//! Sources of credentials.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use kube::config::{AuthInfo, AuthProviderConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tracing::debug;

use crate::error::DiscoveryError;
use crate::file_io::reader::FileReader;
use crate::sources::kubernetes::config::credentials::{Credentials, bearer, secret};
use crate::sources::kubernetes::config::exec_plugin::ExecPlugin;
use crate::sources::kubernetes::error;

/// How long a token from a file is used before the file is read again. Kubernetes requires that every minute; client-go
/// does it ten seconds earlier.
const TOKEN_FILE: Duration = Duration::from_secs(50);

/// Where credentials come from. Excludes a client certificate in the kubeconfig, which kube uses itself.
pub(crate) enum CredentialSource {
    /// None, or constant ones.
    Fixed(Option<HeaderValue>),
    /// A token in a file.
    File {
        path: PathBuf,
        /// The token that is used while the file cannot be read.
        token: Option<HeaderValue>,
    },
    ExecPlugin(Box<ExecPlugin>),
}

impl CredentialSource {
    /// Takes the credentials out of a kubeconfig's user. Of several, it takes those that client-go uses: a token file before
    /// a token, and either before a plugin.
    pub(crate) fn take(user: &mut AuthInfo) -> Result<Self, String> {
        let text = |secret: SecretString| secret.expose_secret().trim().to_owned();
        let token = user
            .token
            .take()
            .map(text)
            .filter(|token| !token.is_empty());
        let file = user.token_file.take().filter(|path| !path.is_empty());
        let basic = (user.username.take(), user.password.take());
        let provider = user.auth_provider.take();
        let exec = user.exec.take();
        if exec.is_some() && provider.is_some() {
            return Err("the user has exec and auth-provider: only one can be used".to_owned());
        }
        let token = token.map(|token| bearer(&token)).transpose()?;
        if let Some(path) = file {
            let path = path.into();
            return Ok(Self::File { path, token });
        }
        Ok(match (token, basic, exec, provider) {
            (Some(token), _, _, _) => Self::Fixed(Some(token)),
            (_, (Some(user), Some(password)), _, _) => {
                let pair = format!("{user}:{}", password.expose_secret());
                let encoded = format!("Basic {}", BASE64_STANDARD.encode(pair));
                Self::Fixed(Some(secret(&encoded)?))
            }
            (_, _, Some(exec), _) => Self::ExecPlugin(Box::new(ExecPlugin::new(exec)?)),
            (_, _, _, Some(provider)) => Self::Fixed(Some(of_provider(&provider)?)),
            _ => Self::Fixed(None),
        })
    }

    /// Checks that credentials exist, without running a plugin. Blocks on files.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Fixed(_) | Self::File { token: Some(_), .. } => Ok(()),
            Self::File { path, .. } => read(path).map(drop),
            Self::ExecPlugin(plugin) => plugin.find().map(drop),
        }
    }

    /// Returns fresh credentials, or the `last` ones again if a token file is temporarily unreadable. `what` names the
    /// kubeconfig in errors.
    pub(crate) async fn get(
        &self,
        what: &str,
        reader: &FileReader,
        plugin_timeout: Duration,
        last: Option<&Credentials>,
    ) -> Result<Credentials, DiscoveryError> {
        match self {
            Self::Fixed(header) => Ok(Credentials {
                header: header.clone(),
                ..Credentials::default()
            }),
            Self::ExecPlugin(plugin) => plugin.run(what, plugin_timeout).await,
            Self::File { path, token } => {
                let file = path.clone();
                let read = reader.read(what, move || read(&file)).await;
                let known = last
                    .and_then(|given| given.header.as_ref())
                    .or(token.as_ref());
                let header = match (read, known) {
                    (Ok(Ok(token)), _) => token,
                    (failed, Some(known)) => {
                        debug!(path = %path.display(), ?failed, "Token file not read");
                        known.clone()
                    }
                    (Ok(Err(problem)), None) => return Err(error::config(what, &problem)),
                    (Err(error), None) => return Err(error),
                };
                Ok(Credentials {
                    header: Some(header),
                    until: Some(Instant::now() + TOKEN_FILE),
                    ..Credentials::default()
                })
            }
        }
    }
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the token file {}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("the token file {} is empty", path.display())),
        token => bearer(token).map_err(|problem| format!("{}: {problem}", path.display())),
    }
}

/// The token of an `auth-provider`. Kubernetes 1.26 removed those of cloud providers.
fn of_provider(provider: &AuthProviderConfig) -> Result<HeaderValue, String> {
    let name = &provider.name;
    match (&**name, provider.config.get("id-token")) {
        ("oidc", Some(token)) => bearer(token.trim()),
        ("oidc", None) => {
            Err("the auth-provider oidc has no id-token: use an exec plugin".to_owned())
        }
        ("gcp", _) => Err(format!(
            "the auth-provider {name:?} is no longer supported: use the exec plugin gke-gcloud-auth-plugin"
        )),
        ("azure", _) => Err(format!(
            "the auth-provider {name:?} is no longer supported: use the exec plugin kubelogin"
        )),
        _ => Err(format!(
            "the auth-provider {name:?} is not supported: use an exec plugin"
        )),
    }
}

#[cfg(test)]
mod tests;
