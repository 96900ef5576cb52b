//! `sessions`.

use clap::Args;

use super::parts::{JsonOption, print};
use crate::operator::answers::{ListedSession, SessionsAnswer};
use crate::operator::client::JsonAnswer;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::server_options::ServerOptions;
use crate::operator::table::{Align, Table};
use crate::operator::units::{bytes, duration, microseconds, plural};
use crate::process::files::conf_path::ConfPath;

/// `sessions`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SessionsCommand {
    /// Only the session with this number
    #[arg(long, value_name = "NUMBER")]
    id: Option<u64>,

    /// Only sessions of this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    /// Only sessions of this backend: its address, unix: and its path, or its name
    #[arg(long, value_name = "BACKEND")]
    backend: Option<String>,

    /// Only sessions of this listener: its address, unix: and its path, its port, or its label
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,

    /// Only sessions of this client: an address or a network
    #[arg(long, value_name = "NETWORK")]
    client: Option<String>,

    /// Only sessions in this phase: preread, queued, connecting, relaying, responding or closing
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,

    /// Only sessions that are older, such as 500ms, 30s, 5m, 2h or 1d
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,

    /// Only sessions with more bytes, in both directions together
    #[arg(long, value_name = "BYTES")]
    more_bytes_than: Option<u64>,

    /// The order: oldest, youngest or most_bytes [default: oldest]
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,

    /// How many are listed, at most 10000 [default: 100]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,

    /// Also what the kernel reports of each backend's socket: the round-trip time, segments sent and retransmitted
    #[arg(long)]
    tcp: bool,

    #[command(flatten)]
    json: JsonOption,
    #[command(flatten)]
    server: ServerOptions,
}

impl SessionsCommand {
    pub(super) async fn run(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        let [id, more_bytes_than] =
            [self.id, self.more_bytes_than].map(|n| n.map(|n| n.to_string()));
        let limit = self.limit.map(|limit| limit.to_string());
        let query = [
            ("id", id.as_deref()),
            ("upstream", self.upstream.as_deref()),
            ("backend", self.backend.as_deref()),
            ("listener", self.listener.as_deref()),
            ("client", self.client.as_deref()),
            ("phase", self.phase.as_deref()),
            ("older_than", self.older_than.as_deref()),
            ("more_bytes_than", more_bytes_than.as_deref()),
            ("order", self.order.as_deref()),
            ("limit", limit.as_deref()),
            ("tcp", self.tcp.then_some("1")),
        ];
        let client = self.server.client(path, false)?;
        print(self.json, &client.get("/sessions", &query).await?, text)
    }
}

fn text(answer: &JsonAnswer) -> Result<String, OperatorError> {
    let answer: SessionsAnswer = answer.read()?;
    if !answer.tracked {
        let text = "the server does not track its sessions, so it cannot list them";
        return Err(OperatorError::NotAsAsked(text.to_owned()));
    }
    let listed = answer.sessions.len();
    let count = match listed == answer.matched {
        true => plural(listed, "session"),
        false => format!("{listed} of {}", plural(answer.matched, "session")),
    };
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("CLIENT", Align::Left),
        ("BACKEND", Align::Left),
        ("UPSTREAM", Align::Left),
        ("PHASE", Align::Left),
        ("AGE", Align::Right),
        ("SENT", Align::Right),
        ("RECEIVED", Align::Right),
        ("RTT", Align::Right),
        ("RETRANS", Align::Right),
        ("SNI", Align::Left),
    ]);
    for session in answer.sessions {
        table.row(cells(session));
    }
    Ok(format!("{count}\n{table}"))
}

fn cells(session: ListedSession) -> [String; 11] {
    let tcp = session.tcp.as_ref();
    [
        session.id.to_string(),
        session.client,
        session.backend.unwrap_or_default(),
        session.upstream.unwrap_or_default(),
        session.phase,
        duration(session.age_ms),
        bytes(session.bytes_to_client),
        bytes(session.bytes_to_backend),
        tcp.map(|tcp| microseconds(tcp.rtt_us)).unwrap_or_default(),
        tcp.map(|tcp| format!("{}/{}", tcp.retransmitted, tcp.sent))
            .unwrap_or_default(),
        session.server_name.unwrap_or_default(),
    ]
}
