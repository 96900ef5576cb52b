//! The subcommands for operators, against servers that run.

mod changes;
mod compare;
mod documents;
mod failures;
mod hostile;
mod location;
mod queries;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::command_line::run;
use crate::proxy::NginxLike;
use crate::sockets::within;

/// What a subcommand printed, and its exit code.
#[derive(Debug)]
struct Answered {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Answered {
    /// The standard output of a subcommand that ended with `code`.
    #[track_caller]
    fn stdout(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// The standard error stream of a subcommand that ended with `code` and printed nothing else.
    #[track_caller]
    fn stderr(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stdout, "");
        self.stderr
    }
}

/// Runs a subcommand in a directory without a configuration.
fn operator(arguments: &[&str]) -> Answered {
    let (output, stderr) = run(arguments, Path::new("/"));
    Answered {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
    }
}

/// A server with an `lb_admin` on a unix socket.
#[derive(Debug)]
struct Administered {
    proxy: NginxLike,
    dir: TempDir,
}

impl Administered {
    /// Starts it with the stream block `stream`, and waits until it is ready.
    async fn start(stream: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("lb.sock");
        let stream = format!("lb_admin unix:{};\n{stream}", socket.display());
        let proxy = NginxLike::start("", &stream).await;
        let started = Self { proxy, dir };
        let is_ready = || started.ask(&["status"]).code == 0;
        within("a server that is ready", async {
            while !is_ready() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        started
    }

    /// The address for `--admin`.
    fn address(&self) -> String {
        format!("unix:{}", self.dir.path().join("lb.sock").display())
    }

    fn conf(&self) -> PathBuf {
        self.proxy.dir().join("test.conf")
    }

    /// Runs a subcommand that asks this server.
    fn ask(&self, arguments: &[&str]) -> Answered {
        operator(&[arguments, &["--admin", &self.address()]].concat())
    }

    /// The JSON that a subcommand prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.ask(&[arguments, &["--json"]].concat()).stdout(0);
        serde_json::from_str(&printed).unwrap()
    }
}

/// The cells of the first line of a table that has `text`.
#[track_caller]
fn cells<'a>(table: &'a str, text: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.contains(text));
    let line = line.unwrap_or_else(|| panic!("{text} is not in\n{table}"));
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}
