//! `log-level`.

use clap::Args;
use lb_core::Escaped;

use super::parts::{JsonOption, change, print, read_status};
use crate::operator::answers::LogLevelAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::output;
use crate::operator::server_options::ServerOptions;
use crate::process::files::conf_path::ConfPath;

/// `log-level`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogLevelCommand {
    /// The level from now on, until a reload or the end of the process; `default` is that of the configuration. Without it,
    /// the level in force is printed
    #[arg(value_name = "LEVEL")]
    level: Option<String>,

    /// Prints the server's JSON
    #[arg(long, requires = "level")]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

impl LogLevelCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let Some(level) = self.level.as_deref() else {
            return self.show(path).await;
        };
        let query = [("level", Some(level))];
        let answer = change(&self.server, path, "/log_level", &query).await?;
        let json = JsonOption { json: self.json };
        print(json, &answer, |answer| {
            let LogLevelAnswer { level, before } = answer.read()?;
            Ok(format!(
                "{} (before: {})\n",
                Escaped(level),
                Escaped(before)
            ))
        })
    }

    async fn show(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let client = self.server.client(path, false)?;
        let status = read_status(&client.get("/status.json", &[]).await?)?;
        let level = status.server.log_level.ok_or_else(|| {
            OperatorError::NotAsAsked("the server does not report its log level".to_owned())
        })?;
        output::print(&format!("{}\n", Escaped(level)))?;
        Ok(Exit::Success)
    }
}
