//! Arguments and steps that several subcommands have.

use clap::Args;
use lb_proxy::admin::status::{Status, VERSION};
use serde::Deserialize;

use crate::operator::client::{JsonAnswer, Query};
use crate::operator::error::{Exit, OperatorError};
use crate::operator::output;
use crate::operator::server_options::ServerOptions;
use crate::process::files::conf_path::ConfPath;

/// The option of subcommands whose answer is JSON.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct JsonOption {
    /// Prints the server's JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A backend of an upstream.
#[derive(Clone, Debug, Args)]
pub(super) struct BackendArguments {
    /// The name of the upstream
    #[arg(value_name = "UPSTREAM")]
    pub(super) upstream: String,

    /// The address of the backend, unix: and its path, or its name
    #[arg(value_name = "BACKEND")]
    pub(super) backend: String,
}

/// Sends a request that changes state.
pub(super) async fn change(
    server: &ServerOptions,
    path: &ConfPath,
    request: &'static str,
    query: &Query<'_>,
) -> Result<JsonAnswer, OperatorError> {
    server.client(path, true)?.post(request, query).await
}

/// Prints an answer as JSON, or as the text that `text` makes of it.
pub(super) fn print(
    json: JsonOption,
    answer: &JsonAnswer,
    text: impl FnOnce(&JsonAnswer) -> Result<String, OperatorError>,
) -> Result<Exit, OperatorError> {
    let text = match json.json {
        true => output::json(&answer.text),
        false => text(answer)?,
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

/// The version alone, which every version of the status has.
#[derive(Debug, Deserialize)]
struct StatusVersion {
    version: u32,
}

/// Reads an answer of `/status.json`.
pub(super) fn read_status(answer: &JsonAnswer) -> Result<Status, OperatorError> {
    let StatusVersion { version } = answer.read()?;
    match version {
        VERSION => answer.read(),
        found => Err(OperatorError::StatusVersion {
            target: answer.target().clone(),
            found,
            known: VERSION,
        }),
    }
}
