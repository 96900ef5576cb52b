//! Options of a subcommand that find the server and hold its token.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lb_proxy::admin::AdminToken;

use super::client::AdminClient;
use super::error::OperatorError;
use super::target::Target;
use crate::config::admin::AdminListen;
use crate::process::files::conf_path::ConfPath;

/// The variable of the environment with the address.
const ENVIRONMENT: &str = "LB_ADMIN";

/// The longest time of `--timeout` and `--watch`, in seconds.
const MAX_SECONDS: f64 = 86_400.0;

/// Options of every subcommand that asks a server.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerOptions {
    /// The admin server: unix:PATH, ADDRESS:PORT or http://HOST:PORT [default: LB_ADMIN of the environment, else `lb_admin`
    /// of the configuration]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    admin: Option<Target>,

    /// The file with the token, for requests over TCP that change state [default: the file that `lb_admin` names]
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    timing: TimeoutOption,
}

/// The option for the time that a server may take.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TimeoutOption {
    /// The time that the server may take to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds, help_heading = "Server")]
    pub(super) timeout: Duration,
}

impl ServerOptions {
    /// A client of the server. It gets the token if a request changes state, which is what `writes` says.
    pub(super) fn client(
        &self,
        path: &ConfPath,
        writes: bool,
    ) -> Result<AdminClient, OperatorError> {
        let target = match &self.admin {
            Some(target) => Some(target.clone()),
            None => from_environment()?,
        };
        let listen = match &target {
            // The configuration is only read for its token, and may be missing.
            Some(Target::Tcp { .. }) if writes && self.token_file.is_none() => {
                path.admin().ok().flatten()
            }
            Some(_) => None,
            None => Some(required_admin(path)?),
        };
        let configured = listen.as_ref().map(|listen| Target::from(&listen.address));
        // The token of this machine's server is not for another server.
        let own = listen.filter(|_| target.is_none() || target == configured);
        let target = target.or(configured);
        let target = target.ok_or_else(|| no_admin(path))?;
        let client = AdminClient::new(target, self.timing.timeout);
        match writes {
            true => self.with_token(client, own),
            false => Ok(client),
        }
    }

    fn with_token(
        &self,
        client: AdminClient,
        listen: Option<AdminListen>,
    ) -> Result<AdminClient, OperatorError> {
        if let Some(file) = &self.token_file {
            let token = AdminToken::read(file).map_err(OperatorError::Token)?;
            return Ok(client.token(&token));
        }
        let is_tcp = matches!(client.target(), Target::Tcp { .. });
        let Some(file) = listen.and_then(|listen| listen.token).filter(|_| is_tcp) else {
            return Ok(client);
        };
        Ok(match AdminToken::read(&file) {
            Ok(token) => client.token(&token),
            // The server then says that it needs the token.
            Err(error) => client.refusal_hint(error.to_string()),
        })
    }
}

fn from_environment() -> Result<Option<Target>, OperatorError> {
    let Some(text) = std::env::var_os(ENVIRONMENT).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let parsed = text.to_string_lossy().parse::<Target>();
    let parsed = parsed.map_err(|error| OperatorError::Environment(error.to_string()));
    parsed.map(Some)
}

fn required_admin(path: &ConfPath) -> Result<AdminListen, OperatorError> {
    let found = path.admin();
    let found = found.map_err(|source| OperatorError::Config { source })?;
    found.ok_or_else(|| no_admin(path))
}

fn no_admin(path: &ConfPath) -> OperatorError {
    OperatorError::NoAdmin { path: path.file() }
}

/// Parses a time in seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| *number > 0.0 && *number <= MAX_SECONDS);
    number
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("write a number of seconds up to {MAX_SECONDS}, such as 2 or 0.5"))
}
