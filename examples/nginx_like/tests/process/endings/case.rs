//! The cases as written.

use std::collections::HashMap;

/// The variables of a line, in its order.
pub(super) const VARIABLES: [&str; 16] = [
    "status",
    "bytes_received",
    "bytes_sent",
    "session_time",
    "protocol",
    "remote_addr",
    "upstream_addr",
    "upstream_bytes_sent",
    "upstream_bytes_received",
    "upstream_connect_time",
    "upstream_first_byte_time",
    "upstream_session_time",
    "proxy_protocol_addr",
    "ssl_preread_server_name",
    "limit_conn_status",
    "realip_remote_addr",
];

/// The values of variables that most cases share.
const USUAL: [(&str, &str); 6] = [
    ("limit_conn_status", "-"),
    ("protocol", "TCP"),
    ("proxy_protocol_addr", "-"),
    ("realip_remote_addr", "127.0.0.1"),
    ("remote_addr", "127.0.0.1"),
    ("ssl_preread_server_name", "-"),
];

/// An ending.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) name: String,
    pub(super) main: String,
    pub(super) stream: String,
    pub(super) server: String,
    /// Steps of clients.
    pub(super) client: Vec<String>,
    /// Steps of each server that answers.
    pub(super) backend: Vec<String>,
    pub(super) saw: Vec<String>,
    /// The values of [`VARIABLES`].
    pub(super) access: Vec<Vec<String>>,
    pub(super) errors: Vec<String>,
    pub(super) pending: Option<String>,
}

impl Ending {
    pub(super) fn parse_all(text: &str) -> Vec<Self> {
        let mut cases: Vec<Self> = Vec::new();
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            if let Some(name) = line.strip_prefix("== ") {
                cases.push(Self {
                    name: name.to_owned(),
                    ..Self::default()
                });
                continue;
            }
            let case = cases.last_mut().expect("a name comes first");
            let (key, value) = line.split_once(": ").unwrap();
            match key {
                "main" => case.main = value.to_owned(),
                "stream" => case.stream = value.to_owned(),
                "server" => case.server = value.to_owned(),
                "client" => case.client = steps(value),
                "backend" => case.backend = steps(value),
                "saw" => case.saw.push(value.to_owned()),
                "access" => case.access.push(values(value)),
                "error" => case.errors.push(value.to_owned()),
                "pending" => case.pending = Some(value.to_owned()),
                "differs" => {}
                other => panic!("{other}"),
            }
        }
        cases
    }
}

fn steps(text: &str) -> Vec<String> {
    text.split("; ").map(str::to_owned).collect()
}

fn values(text: &str) -> Vec<String> {
    let written = text.split("; ").map(|pair| pair.split_once('=').unwrap());
    let values: HashMap<_, _> = USUAL.into_iter().chain(written).collect();
    VARIABLES
        .iter()
        .map(|name| values[name].to_owned())
        .collect()
}
