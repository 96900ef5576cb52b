//! Many upgrades in a row while clients connect and sessions stay open: nothing is refused, cut or left behind.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::site::{Conf, UpgradeSite, gone};
use crate::sockets::{Conversation, ask, eventually, within};

/// How many sessions outlive upgrades, one for each of the last processes.
const HELD: usize = 3;

/// How many upgrades: a few, or what `LB_TEST_UPGRADES` says.
fn upgrades() -> usize {
    let wanted = env::var("LB_TEST_UPGRADES");
    wanted.map_or(8, |count| count.parse().expect("a number"))
}

/// Clients that connect without a pause.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    served: AtomicU64,
}

impl Load {
    async fn of_tcp(self: Arc<Self>, addr: SocketAddr) {
        while !self.over.load(Relaxed) {
            ask(addr).await.expect("a client is served");
            self.served.fetch_add(1, Relaxed);
        }
    }

    async fn of_unix(self: Arc<Self>, path: PathBuf) {
        while !self.over.load(Relaxed) {
            let mut client = BufReader::new(UnixStream::connect(&path).await.unwrap());
            client.write_all(b"hello\n").await.unwrap();
            let mut answer = String::new();
            within("an answer", client.read_line(&mut answer))
                .await
                .unwrap();
            assert_eq!(answer, "node: hello\n");
            self.served.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(1)).await;
        }
    }
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

    let load = Arc::new(Load::default());
    let mut clients: Vec<_> = (0..3)
        .map(|_| tokio::spawn(Arc::clone(&load).of_tcp(addr)))
        .collect();
    clients.push(tokio::spawn(Arc::clone(&load).of_unix(site.path("front"))));
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
        let served = load.served.load(Relaxed);
        eventually("clients of the new process", || {
            load.served.load(Relaxed) > served + 5
        })
        .await;
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
    load.over.store(true, Relaxed);
    for client in clients {
        client.await.expect("no client failed");
    }
    eprintln!(
        "{count} upgrades in {:?}, {} connections",
        begin.elapsed(),
        load.served.load(Relaxed)
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
