//! `explain`.

use std::fmt::Write;

use clap::Args;
use lb_core::Escaped;

use super::parts::JsonOption;
use crate::operator::answers::{ExplainAnswer, ExplainedReport};
use crate::operator::error::{Exit, OperatorError};
use crate::operator::output;
use crate::operator::server_options::ServerOptions;
use crate::operator::table::{Align, Table};
use crate::operator::units::{duration, plural};
use crate::process::files::conf_path::ConfPath;

/// `explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainCommand {
    /// The name of the upstream
    #[arg(long, value_name = "NAME", required_unless_present = "listener")]
    upstream: Option<String>,

    /// The address of the client, with or without its port. Without it, a connection without a hash key is explained
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,

    /// The name that the client asks for (SNI)
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// The listener that the client connects to: its address, or unix: and its path
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl ExplainCommand {
    /// Not as asked if no backend is chosen.
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let query = [
            ("upstream", self.upstream.as_deref()),
            ("client", self.client.as_deref()),
            ("sni", self.sni.as_deref()),
            ("listener", self.listener.as_deref()),
        ];
        let client = self.server.client(path, false)?;
        let answer = client.get("/explain", &query).await?;
        let explained: ExplainAnswer = answer.read()?;
        let text = match self.json.json {
            true => output::json(&answer.text),
            false => text(&explained),
        };
        output::print(&text)?;
        Ok(match explained.chosen {
            Some(_) => Exit::Success,
            None => Exit::NotAsAsked,
        })
    }
}

fn text(answer: &ExplainAnswer) -> String {
    let mut text = String::new();
    let chosen = answer.backends.iter().find(|backend| backend.chosen);
    let name = chosen.and_then(|chosen| chosen.name.as_deref());
    let chosen = match (&answer.chosen, name) {
        (Some(endpoint), Some(name)) => format!("{endpoint} ({name})"),
        (Some(endpoint), None) => endpoint.clone(),
        (None, _) => "none: a connection waits or fails".to_owned(),
    };
    let key = match answer.key.as_deref() {
        None | Some("") => String::new(),
        Some(key) => format!(", hash key {key}"),
    };
    let _ = writeln!(text, "chosen: {}", Escaped(chosen));
    if answer.queued > 0 {
        let waiting = plural(answer.queued, "connection");
        let _ = writeln!(text, "queue: waits behind {waiting}");
    }
    let upstream = format!("{}, {}{key}", answer.upstream, answer.policy);
    let _ = writeln!(text, "upstream: {}\n", Escaped(upstream));
    let mut table = Table::new(&[
        ("", Align::Left),
        ("BACKEND", Align::Left),
        ("NAME", Align::Left),
        ("VERDICT", Align::Left),
        ("TIER", Align::Right),
        ("SHARE", Align::Right),
        ("WEIGHT", Align::Right),
        ("CONNS", Align::Right),
        ("NOTE", Align::Left),
    ]);
    for backend in &answer.backends {
        table.row(cells(backend));
    }
    text + &table.to_string()
}

fn cells(backend: &ExplainedReport) -> [String; 9] {
    [
        if backend.chosen { ">" } else { "" }.to_owned(),
        backend.endpoint.clone(),
        backend.name.clone().unwrap_or_default(),
        backend.verdict.replace('_', " "),
        backend.priority.to_string(),
        format!("{} %", backend.tier_percent),
        backend.weight.to_string(),
        backend.in_flight.to_string(),
        note(backend),
    ]
}

fn note(backend: &ExplainedReport) -> String {
    let ejected = backend
        .ejected_ms
        .map(|ms| format!("for {} more", duration(ms)));
    let slow_start = backend
        .slow_start_percent
        .map(|percent| format!("slow start {percent} %"));
    let panic = backend.panic.then(|| "panic: health is ignored".to_owned());
    let notes = [ejected, slow_start, panic];
    notes.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
