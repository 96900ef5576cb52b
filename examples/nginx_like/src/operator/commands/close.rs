//! `close`.

use clap::{ArgGroup, Args};

use super::parts::{JsonOption, change, print};
use crate::operator::answers::CloseAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::operator::units::plural;
use crate::process::files::conf_path::ConfPath;

/// `close`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["upstream", "id"]))]
pub(crate) struct CloseCommand {
    /// The name of the upstream
    #[arg(value_name = "UPSTREAM", requires = "backend")]
    upstream: Option<String>,

    /// The address of the backend, unix: and its path, or its name
    #[arg(value_name = "BACKEND")]
    backend: Option<String>,

    /// Only the session with this number, in the place of UPSTREAM and BACKEND: ID of `sessions`, $connection, *N of `error_log`
    #[arg(long, value_name = "NUMBER")]
    id: Option<u64>,

    /// Resets the sessions at once, those that are closing included. Without it, bytes that were acknowledged before are
    /// delivered first
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl CloseCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let id = self.id.map(|id| id.to_string());
        let query = [
            ("id", id.as_deref()),
            ("upstream", self.upstream.as_deref()),
            ("backend", self.backend.as_deref()),
            ("force", self.force.then_some("1")),
        ];
        let answer = change(&self.server, path, "/close", &query).await?;
        print(self.json, &answer, |answer| {
            let CloseAnswer {
                closed,
                reset,
                closing,
            } = answer.read()?;
            let closed = plural(closed, "session");
            Ok(match (reset, closing) {
                (0, 0) => format!("{closed} closed\n"),
                (0, closing) => {
                    format!("{closed} closed, {closing} closing already (--force resets them)\n")
                }
                (reset, _) => format!("{closed} closed, {reset} of them reset\n"),
            })
        })
    }
}
