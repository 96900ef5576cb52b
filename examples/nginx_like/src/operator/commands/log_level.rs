//! `log-level`.

use clap::Args;
use lb_core::Escaped;

use super::parts::{JsonOption, change, print};
use crate::operator::answers::LogLevelAnswer;
use crate::operator::client::JsonAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::process::files::conf_path::ConfPath;

const LEVELS: [&str; 9] = [
    "debug", "info", "notice", "warn", "error", "crit", "alert", "emerg", "default",
];

/// `log-level`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogLevelCommand {
    /// The level from now on, until the process ends; `default` is that of the configuration. Without it, the level in force is
    /// printed. No level keeps what operators change out of the logs
    #[arg(value_name = "LEVEL", value_parser = LEVELS)]
    level: Option<String>,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl LogLevelCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let answer = match self.level.as_deref() {
            Some(level) => {
                let query = [("level", Some(level))];
                change(&self.server, path, "/log_level", &query).await?
            }
            None => {
                self.server
                    .client(path, false)?
                    .get("/log_level", &[])
                    .await?
            }
        };
        print(self.json, &answer, text)
    }
}

fn text(answer: &JsonAnswer) -> Result<String, OperatorError> {
    let answer: LogLevelAnswer = answer.read()?;
    let before = answer.before.map(|before| format!(" (before: {before})"));
    let by = answer.by.map(|by| format!(" (set by {by})"));
    let [before, by] = [before, by].map(Option::unwrap_or_default);
    let line = format!("{}{before}{by}", answer.level);
    Ok(format!("{}\n", Escaped(line)))
}
