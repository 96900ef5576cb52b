//! How sessions end: for each of 68 endings that were recorded from nginx 1.31.5, the access log, the error log and what
//! the client sees.
//!
//! `cases.txt` has the cases. A case begins with `==` and its name. `main`, `stream` and `server` are its configuration, where
//! `LISTEN` is the listener and `BACKEND`, `GOOD2`, `REFUSING1`, `BLACKHOLE1` … are servers that answer, refuse or do
//! not answer. `client` and `backend` are what the clients and each server that answers do, step by step; a letter in front
//! of a step names another client. The recording's steps waited for fixed times; here they wait for what must happen
//! first, except for `take`, which gives a session the length that its line shows. `saw` is how many bytes each `end` step read, and whether the connection ended (`FIN`)
//! or was reset (`RST`); `any` is both. `access` is a line of the access log, in their order; variables that are left out have the values
//! of most cases. `error` is a line of the error log at level `info` without its time and process, and without the lines
//! about connecting. Connections are numbered in the order of their lines. `~` is any number.
//!
//! `differs` says why a case differs from the recording. `pending` names what the case still lacks; it may not pass yet.

mod case;
mod compare;
mod play;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::proxy::NginxLike;
use crate::sockets::Reserved;
use case::Ending;
use compare::{access_differences, error_lines};
use play::{EndingServers, play};

/// How many cases run at a time.
const AT_ONCE: usize = 4;

const CASES: &str = include_str!("cases.txt");

#[tokio::test]
async fn sessions_end_and_are_logged_as_in_nginx() {
    let cases = Ending::parse_all(CASES);
    assert_eq!(cases.len(), 68);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in cases {
        let turns = Arc::clone(&turns);
        if let Some(lacks) = &case.pending {
            eprintln!("pending: {} ({lacks})", case.name);
            continue;
        }
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let wrong = run(&case).await;
            wrong.map_err(|wrong| format!("{}: {wrong}", case.name))
        });
    }
    let results = running.join_all().await;
    let wrong: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays a case. The error says what differs.
async fn run(case: &Ending) -> Result<(), String> {
    let servers = EndingServers::open(case).await;
    let dir = tempfile::tempdir().unwrap();
    let [access, errors] = ["access.log", "error.log"].map(|name| dir.path().join(name));
    let main = format!("error_log {} info; {}", errors.display(), case.main);
    let variables = case::VARIABLES.map(|name| format!("${name}")).join("|");
    let stream = format!(
        "log_format endings '{variables}'; access_log {} endings; {} server {{ {} }}",
        access.display(),
        servers.name(&case.stream),
        servers.name(&case.server)
    );
    let reserved = Reserved::any();
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let mut proxy = NginxLike::start_by(command, reserved, &main, &stream).await;
    let listen = proxy.addr;
    let saw = play(case, &servers, &proxy).await;
    let is_seen = |(wanted, saw): (&String, &String)| match wanted.strip_suffix("any") {
        Some(start) => saw.starts_with(start),
        None => wanted == saw,
    };
    if saw.len() != case.saw.len() || !case.saw.iter().zip(&saw).all(is_seen) {
        return Err(format!("clients saw {saw:?} instead of {:?}", case.saw));
    }
    let read = || fs::read_to_string(&access).unwrap_or_default();
    if case.access.is_empty() {
        // The process has ended, and has written all lines.
        assert!(proxy.exit().await.success());
        return if read().is_empty() {
            Ok(())
        } else {
            Err(read())
        };
    }
    settle(|| read().lines().count() >= case.access.len()).await;
    let lines = || error_lines(&servers.names_in(&fs::read_to_string(&errors).unwrap(), listen));
    settle(|| lines().len() >= case.errors.len()).await;
    // The process writes all lines before it ends, so none can come later. A case with a signal may have ended it.
    proxy.signal(Signal::TERM);
    proxy.ended().await;
    let found = servers.names_in(&read(), listen);
    if let Some(differs) = access_differences(case, &found) {
        return Err(differs);
    }
    if compare::are_alike(&case.errors, &lines()) {
        Ok(())
    } else {
        Err(format!("{:#?} instead of {:#?}", lines(), case.errors))
    }
}

/// Waits until `is_reached`, but not for ever: the caller compares and says what differs.
async fn settle(is_reached: impl Fn() -> bool) {
    let polled = async {
        while !is_reached() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(Duration::from_secs(10), polled).await;
}
