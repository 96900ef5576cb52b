//! Ends of sessions: for each of 68 that were recorded from nginx 1.31.5, the access log, the error log and the client's
//! view.
//!
//! `cases.txt` has the cases. A case begins with `==` and its name. `main`, `stream` and `server` are its configuration, where
//! `LISTEN` is the listener and `BACKEND`, `GOOD2`, `REFUSING1`, `BLACKHOLE1` … are servers that answer, refuse or do
//! not answer. `client` and `backend` are what the clients and each server that answers do, step by step; a letter in front
//! of a step names another client; `lines` waits for so many lines of the access log. The recording's steps waited for fixed times; here they wait for what must happen
//! first, except for `take`, which gives a session the length that its line shows. `saw` is how many bytes each `end` step read, and whether the connection ended (`FIN`)
//! or was reset (`RST`); `any` is both. `access` is a line of the access log, in their order; variables that are left out have the values
//! of most cases. `error` is a line of the error log at level `info` without its time and process, and without the lines
//! about connecting. Connections are numbered in the order of their lines. `~` is any number.
//!
//! Each case is played twice: with an error log at level `info`, and with one at `notice` and an access log without
//! variables that depend on the course of a session. The second one observes the ends of sessions alone.
//!
//! `differs` says why a case differs from the recording. `pending` names what the case still lacks; it may not pass yet.

mod case;
mod compare;
mod play;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use test_support::deadline::DEADLINE;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::proxy::NginxLike;
use crate::sockets::Reserved;
use case::{Ending, VARIABLES};
use compare::{access_differences, error_lines};
use play::{EndingServers, play};

/// How many cases run at a time.
const AT_ONCE: usize = 4;

const CASES: &str = include_str!("cases.txt");

/// The variables that depend on the course of a session.
const OF_COURSE: [&str; 3] = [
    "upstream_connect_time",
    "upstream_first_byte_time",
    "upstream_session_time",
];

/// What the logs of a case have.
#[derive(Clone, Copy)]
enum Logs {
    Whole,
    /// The error log has no line of level `info`, and the access log none of [`OF_COURSE`].
    Ends,
}

impl Logs {
    fn level(self) -> &'static str {
        match self {
            Self::Whole => "info",
            Self::Ends => "notice",
        }
    }

    fn variables(self) -> Vec<&'static str> {
        let of_course = |name: &&str| OF_COURSE.contains(name);
        let names = VARIABLES.into_iter();
        match self {
            Self::Whole => names.collect(),
            Self::Ends => names.filter(|name| !of_course(name)).collect(),
        }
    }

    /// The lines of the error log that it has.
    fn errors(self, case: &Ending) -> Vec<String> {
        let errors = case.errors.iter();
        let is_logged = |line: &&String| match self {
            Self::Whole => true,
            Self::Ends => !line.starts_with("[info]"),
        };
        errors.filter(is_logged).cloned().collect()
    }

    /// Whether the case can be played: its clients may wait for a line of level `info`.
    fn can_play(self, case: &Ending) -> bool {
        let waits = |step: &String| step.contains("logged connected to");
        match self {
            Self::Whole => true,
            Self::Ends => !case.client.iter().any(waits),
        }
    }
}

#[tokio::test]
async fn sessions_end_and_are_logged_as_in_nginx() {
    play_all(Logs::Whole).await;
}

#[tokio::test]
async fn logs_that_observe_ends_alone_have_the_same_lines() {
    play_all(Logs::Ends).await;
}

async fn play_all(logs: Logs) {
    let cases = Ending::parse_all(CASES);
    assert_eq!(cases.len(), 68);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in cases.into_iter().filter(|case| logs.can_play(case)) {
        let turns = Arc::clone(&turns);
        if let Some(lacks) = &case.pending {
            eprintln!("pending: {} ({lacks})", case.name);
            continue;
        }
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let wrong = run(&case, logs).await;
            wrong.map_err(|wrong| format!("{}: {wrong}", case.name))
        });
    }
    let results = running.join_all().await;
    let wrong: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Plays a case. The error says what differs.
async fn run(case: &Ending, logs: Logs) -> Result<(), String> {
    let servers = EndingServers::open(case).await;
    let dir = tempfile::tempdir().unwrap();
    let [access, errors] = ["access.log", "error.log"].map(|name| dir.path().join(name));
    let level = logs.level();
    let main = format!("error_log {} {level}; {}", errors.display(), case.main);
    let names = logs.variables();
    let variables: Vec<_> = names.iter().map(|name| format!("${name}")).collect();
    let variables = variables.join("|");
    let wanted_errors = logs.errors(case);
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
    let read = || fs::read_to_string(&access).unwrap_or_default();
    let written = || read().lines().count();
    let saw = play(case, &servers, &proxy, written).await;
    let is_seen = |(wanted, saw): (&String, &String)| match wanted.strip_suffix("any") {
        Some(start) => saw.starts_with(start),
        None => wanted == saw,
    };
    if saw.len() != case.saw.len() || !case.saw.iter().zip(&saw).all(is_seen) {
        return Err(format!("clients saw {saw:?} instead of {:?}", case.saw));
    }
    if case.access.is_empty() {
        // The process has ended, and has written all lines.
        assert!(proxy.exit().await.success());
        return if read().is_empty() {
            Ok(())
        } else {
            Err(read())
        };
    }
    settle(|| written() >= case.access.len()).await;
    let lines = || error_lines(&servers.names_in(&fs::read_to_string(&errors).unwrap(), listen));
    settle(|| lines().len() >= wanted_errors.len()).await;
    // The process writes all lines before it ends, so none can come later. A case with a signal may have ended it.
    proxy.signal(Signal::TERM);
    proxy.ended().await;
    let found = servers.names_in(&read(), listen);
    if let Some(differs) = access_differences(case, &names, &found) {
        return Err(differs);
    }
    if compare::are_alike(&wanted_errors, &lines()) {
        Ok(())
    } else {
        Err(format!("{:#?} instead of {:#?}", lines(), wanted_errors))
    }
}

/// Waits until `is_reached`, but not for ever: the caller compares and says what differs.
async fn settle(is_reached: impl Fn() -> bool) {
    let polled = async {
        while !is_reached() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = timeout(DEADLINE, polled).await;
}
