//! `explain`.

use clap::{ArgGroup, Args};

use super::parts::JsonOption;
use crate::operator::answers::ExplainAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::operator::{explain_view, output};
use crate::process::files::conf_path::ConfPath;

/// `explain`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("place").required(true).args(["upstream", "listener"]))]
pub(crate) struct ExplainCommand {
    /// The name of the upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    /// The listener that the client connects to, by its address, unix: and its path, its port, or its label, which is the place of
    /// its `server` block, as in "server in /etc/nginx/nginx.conf:12": its rules choose the upstream. Needs --client
    #[arg(long, value_name = "ADDRESS", requires = "client")]
    listener: Option<String>,

    /// The address of the client, with or without its port. Without it, a connection to the upstream without a hash key is explained
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,

    /// The name that the client asks for (SNI). Needs --client
    #[arg(long, value_name = "NAME", requires = "client")]
    sni: Option<String>,

    /// The address and port that the client connects to, where the listener has several. Needs --client
    #[arg(long, value_name = "ADDRESS", requires = "client")]
    local: Option<String>,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl ExplainCommand {
    /// Not as asked if the connection is refused, or if no backend is chosen.
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let query = [
            ("upstream", self.upstream.as_deref()),
            ("client", self.client.as_deref()),
            ("sni", self.sni.as_deref()),
            ("listener", self.listener.as_deref()),
            ("local", self.local.as_deref()),
        ];
        let client = self.server.client(path, false)?;
        let answer = client.get("/explain", &query).await?;
        let explained: ExplainAnswer = answer.read()?;
        if explained.upstream.is_none() && explained.reason.is_none() && explained.bytes.is_none() {
            return Err(answer.unknown("the answer explains nothing"));
        }
        let text = match self.json.json {
            true => output::json(&answer.text),
            false => explain_view::text(&explained),
        };
        output::print(&text)?;
        let is_served = explained.chosen.is_some() || explained.bytes.is_some();
        Ok(match is_served {
            true => Exit::Success,
            false => Exit::NotAsAsked,
        })
    }
}
