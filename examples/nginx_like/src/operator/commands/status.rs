//! `status`.

use std::time::Duration;

use clap::Args;
use lb_core::Escaped;

use super::parts::{JsonOption, read_status};
use crate::operator::client::AdminClient;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::output::{self, OutputReader};
use crate::operator::server_options::{ServerOptions, seconds};
use crate::operator::status_view;
use crate::process::files::conf_path::ConfPath;

/// `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusCommand {
    /// Only this upstream. With --json, the status has all of them
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    /// Asks again and again, with this time between two answers, in seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl StatusCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let client = self.server.client(path, false)?;
        let (mut text, mut exit) = self.once(&client).await?;
        let Some(pause) = self.watch else {
            output::print(&text)?;
            return Ok(exit);
        };
        while output::print_again(&text)? == OutputReader::Present {
            tokio::time::sleep(pause).await;
            (text, exit) = match self.once(&client).await {
                Ok(shown) => shown,
                // A server that restarts answers again.
                Err(error) => (format!("{}\n", Escaped(&error)), error.exit()),
            };
        }
        Ok(exit)
    }

    async fn once(&self, client: &AdminClient) -> Result<(String, Exit), OperatorError> {
        let answer = client.get("/status.json", &[]).await?;
        let status = read_status(&answer)?;
        let exit = match status.server.ready {
            true => Exit::Success,
            false => Exit::NotAsAsked,
        };
        let name = self.upstream.as_deref();
        if let Some(name) = name
            && !status
                .upstreams
                .iter()
                .any(|upstream| upstream.name == name)
        {
            let text = format!("there is no upstream \"{}\"", Escaped(name));
            return Err(OperatorError::NotAsAsked(text));
        }
        let text = match self.json.json {
            true => output::json(&answer.text),
            false => status_view::text(&status, name),
        };
        Ok((text, exit))
    }
}
