//! Many upgrades in a row while clients connect and sessions stay open: nothing is refused, cut or left behind.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::clients::Load;
use super::site::{Conf, UpgradeSite, gone};
use crate::sockets::{Conversation, eventually, within};

/// How many sessions outlive upgrades, one for each of the last processes.
const HELD: usize = 3;

/// How many upgrades: a few, or what `LB_TEST_UPGRADES` says.
fn upgrades() -> usize {
    let wanted = env::var("LB_TEST_UPGRADES");
    wanted.map_or(8, |count| count.parse().expect("a number"))
}

/// How many descriptors the process has open.
fn descriptors(pid: Pid) -> usize {
    let all = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    all.unwrap().count()
}

/// Waits until the process has no descriptors of sessions, and returns how many it has.
async fn at_rest(pid: Pid, expected: Option<usize>) -> usize {
    let mut last = (0, Instant::now());
    within("a process at rest", async {
        loop {
            let now = descriptors(pid);
            if now != last.0 {
                last = (now, Instant::now());
            }
            let is_stable = last.1.elapsed() > Duration::from_millis(700);
            if expected.map_or(is_stable, |expected| now == expected || is_stable) {
                return now;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn upgrades_under_load_refuse_cut_and_leak_nothing() {
    let stream = "lb_admin unix:DIR/admin; server { listen unix:DIR/front; proxy_pass NODE; }";
    let conf = |workers: &'static str| Conf {
        main: workers,
        stream,
    };
    let mut site = UpgradeSite::start(conf("worker_processes 2;")).await;
    let addr = site.old.addr;
    // The first process differs: its sockets are in other places.
    let first = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    site.old.ended().await;
    let before = at_rest(first, None).await;

    let load = Load::default().tcp(addr).tcp(addr).tcp(addr);
    let load = load.unix(site.path("front"));
    let mut sessions = VecDeque::new();
    let mut processes = vec![first];
    let (count, begin) = (upgrades(), Instant::now());
    for number in 1..=count {
        let mut session = Conversation::open(addr).await.unwrap();
        session.say("opened").await.unwrap();
        sessions.push_back(session);
        // Other numbers of workers take over the same sockets; the last process has as many as the first.
        site.configure(conf(match number % 3 {
            _ if number == count => "worker_processes 2;",
            0 => "worker_processes 2;",
            1 => "worker_processes 3;",
            _ => "",
        }));
        let old = site.pid().unwrap();
        processes.push(site.upgrade().await);
        if number % 2 == 0 {
            kill_process(old, Signal::WINCH).unwrap();
        }
        kill_process(old, Signal::QUIT).unwrap();
        let served = load.served();
        let goes_on = || load.served() > served + 5;
        eventually("clients of the new process", goes_on).await;
        for session in &mut sessions {
            session.say("still open").await.unwrap();
        }
        if sessions.len() > HELD {
            sessions.pop_front();
        }
        // The old process has left, whatever sessions it still has.
        let leaves = || site.old.count("Process of the old binary leaves") > number;
        eventually("the old process to leave", leaves).await;
    }
    let served = load.end().await;
    eprintln!(
        "{count} upgrades in {:?}, {served} connections",
        begin.elapsed()
    );
    for session in &mut sessions {
        session.say("to the end").await.unwrap();
    }
    drop(sessions);
    let last = processes.pop().unwrap();
    for pid in processes {
        gone(pid).await;
    }
    assert_eq!(at_rest(last, Some(before)).await, before);
    kill_process(last, Signal::QUIT).unwrap();
    gone(last).await;
}
