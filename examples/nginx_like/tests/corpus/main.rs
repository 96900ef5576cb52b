//! A corpus of configurations in the style of what people run, and what their clients must see.
//!
//! Each file in `cases` is a configuration as a machine would have it, with instructions in lines that begin with
//! `#:`. [`case`] documents them. The addresses and paths of a case are replaced by free ports of the loopback address and
//! by a directory of the case, so that all cases run at the same time and without rights.
//!
//! - `LB_TEST_CORPUS=TEXT` runs the cases with this text in their name.
//! - `LB_TEST_NGINX=PATH` also runs the cases against this nginx, but for those that need a newer one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod balancer;
mod case;
mod client;
mod pattern;
mod places;
mod run;
mod step;
mod stub;
mod words;

use std::env;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::balancer::Program;
use crate::case::Case;
use crate::run::{Verdict, run};

/// How many cases run at a time.
const AT_A_TIME: usize = 8;

/// How many cases there are at least.
const CASES: usize = 60;

/// All cases, or those that `LB_TEST_CORPUS` asks for.
fn cases() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/cases");
    let entries = dir.read_dir().unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= CASES, "{} cases", paths.len());
    let wanted = env::var("LB_TEST_CORPUS").unwrap_or_default();
    let cases = paths.iter().map(|path| Case::read(path).unwrap());
    cases.filter(|case| case.name.contains(&wanted)).collect()
}

/// Runs all cases by `program`, and prints a line for each that did not pass.
async fn run_all(program: Program) {
    let program = Arc::new(program);
    let free = Arc::new(Semaphore::new(AT_A_TIME));
    let mut running = JoinSet::new();
    for case in cases() {
        let (program, free) = (Arc::clone(&program), Arc::clone(&free));
        running.spawn(async move {
            let _one = free.acquire().await.unwrap();
            (case.name.clone(), run(&case, &program).await)
        });
    }
    let (mut passed, mut failures) = (0, Vec::new());
    while let Some(done) = running.join_next().await {
        match done.unwrap() {
            (_, Ok(Verdict::Passed)) => passed += 1,
            (name, Ok(Verdict::Left(reason))) => eprintln!("{name}: left out: {reason}"),
            (name, Err(error)) => failures.push(format!("{name}: {error}")),
        }
    }
    failures.sort();
    eprintln!("{passed} cases passed");
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

#[tokio::test]
async fn clients_of_nginx_like_see_what_the_configuration_says() {
    run_all(Program::ours()).await;
}

#[tokio::test]
async fn clients_of_nginx_see_the_same() {
    match env::var_os("LB_TEST_NGINX") {
        Some(nginx) => run_all(Program::nginx(nginx)).await,
        None => eprintln!("skipped: LB_TEST_NGINX does not name an nginx to compare with"),
    }
}
