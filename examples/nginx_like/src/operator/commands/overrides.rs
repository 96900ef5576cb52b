//! `drain`, `undrain`, `ready`, `weight`, `max-conns`.

use clap::Args;

use super::parts::{BackendArguments, JsonOption, change, print};
use crate::operator::answers::OverridesAnswer;
use crate::operator::client::JsonAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::operator::table::{Align, Table};
use crate::process::files::conf_path::ConfPath;

/// What all of these subcommands have.
#[derive(Clone, Debug, Args)]
struct TargetArguments {
    #[command(flatten)]
    backend: BackendArguments,
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl TargetArguments {
    /// Sends a request about the backend, with one further parameter.
    async fn send(
        &self,
        path: &ConfPath,
        request: &'static str,
        setting: Option<(&'static str, &str)>,
    ) -> Result<Exit, OperatorError> {
        let mut query = vec![
            ("upstream", Some(self.backend.upstream.as_str())),
            ("backend", Some(self.backend.backend.as_str())),
        ];
        query.extend(setting.map(|(name, value)| (name, Some(value))));
        let answer = change(&self.server, path, request, &query).await?;
        print(self.json, &answer, text)
    }
}

fn text(answer: &JsonAnswer) -> Result<String, OperatorError> {
    let answer: OverridesAnswer = answer.read()?;
    let mut table = Table::new(&[
        ("UPSTREAM", Align::Left),
        ("BACKEND", Align::Left),
        ("CHANGED", Align::Left),
        ("ADMIN", Align::Left),
        ("WEIGHT", Align::Right),
        ("LIMIT", Align::Right),
    ]);
    for backend in answer.backends {
        let now = backend.now.as_ref();
        let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |n| n.to_string());
        table.row([
            backend.upstream,
            backend.backend,
            if backend.changed { "yes" } else { "no" }.to_owned(),
            now.map_or_else(|| "absent".to_owned(), |now| now.admin.clone()),
            now.map(|now| now.weight.to_string()).unwrap_or_default(),
            now.map(|now| limit(now.max_conns)).unwrap_or_default(),
        ]);
    }
    Ok(table.to_string())
}

/// `drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrainCommand {
    #[command(flatten)]
    target: TargetArguments,
}

impl DrainCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        self.target.send(path, "/drain", None).await
    }
}

/// `undrain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UndrainCommand {
    #[command(flatten)]
    target: TargetArguments,
}

impl UndrainCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        self.target.send(path, "/undrain", None).await
    }
}

/// `ready`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReadyCommand {
    #[command(flatten)]
    target: TargetArguments,
}

impl ReadyCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        self.target.send(path, "/ready", None).await
    }
}

/// `weight`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WeightCommand {
    #[command(flatten)]
    target: TargetArguments,

    /// A number, a percentage of the source's weight such as 50%, or default
    #[arg(value_name = "WEIGHT")]
    weight: String,
}

impl WeightCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let setting = Some(("weight", self.weight.as_str()));
        self.target.send(path, "/weight", setting).await
    }
}

/// `max-conns`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MaxConnsCommand {
    #[command(flatten)]
    target: TargetArguments,

    /// A number, unlimited, or default
    #[arg(value_name = "LIMIT")]
    limit: String,
}

impl MaxConnsCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let setting = Some(("max_conns", self.limit.as_str()));
        self.target.send(path, "/max_conns", setting).await
    }
}
