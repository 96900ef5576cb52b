//! `config`.

use std::fmt::Write;

use clap::Args;
use lb_core::Escaped;

use super::parts::{JsonOption, print};
use crate::operator::answers::ConfigAnswer;
use crate::operator::client::JsonAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::process::files::conf_path::ConfPath;

/// What a tab of the configuration becomes, because all other control characters are escaped.
const TAB: &str = "    ";

/// `config`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl ConfigCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let client = self.server.client(path, false)?;
        print(self.json, &client.get("/config", &[]).await?, text)
    }
}

/// The lines with their numbers, below the name of their file.
fn text(answer: &JsonAnswer) -> Result<String, OperatorError> {
    let ConfigAnswer { lines } = answer.read()?;
    let widest = lines.iter().map(|line| line.line).max().unwrap_or_default();
    let width = widest.to_string().len();
    let mut text = String::new();
    let mut file = None;
    for line in &lines {
        if file != Some(&line.file) {
            let gap = if file.is_some() { "\n" } else { "" };
            file = Some(&line.file);
            let _ = writeln!(text, "{gap}# {}", Escaped(&line.file));
        }
        let shown = line.text.replace('\t', TAB);
        let shown = format!("{:>width$}  {}", line.line, Escaped(shown));
        text += shown.trim_end();
        text.push('\n');
    }
    Ok(text)
}
