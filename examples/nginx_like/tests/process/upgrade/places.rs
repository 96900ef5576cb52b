//! Surroundings of the processes of an upgrade: with `user`, with `lb_admin`, as a daemon, under systemd.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use super::site::{Conf, UpgradeSite, gone};
use crate::sockets::{Conversation, ask, ask_unix, eventually, within};
use crate::user::{USER, field, is_root, shared_dir, uid};

/// The process that answers requests of `lb_admin` at `path`.
async fn admin_of(path: &Path) -> Option<Pid> {
    let path = path.to_owned();
    let exchange = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        let head = b"GET /status.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status: Value = serde_json::from_str(body).unwrap();
        status["server"]["pid"].as_i64().unwrap()
    };
    let pid = within("an answer", spawn_blocking(exchange)).await.unwrap();
    Pid::from_raw(pid.try_into().unwrap())
}

#[tokio::test]
async fn with_user_the_helper_starts_the_new_binary_as_root_which_becomes_the_user() {
    if !is_root() {
        return;
    }
    let main = format!("user {USER}; worker_processes 2;");
    let conf = Conf {
        main: &main,
        stream: "server { listen unix:DIR/front; proxy_pass NODE; }",
    };
    let hasty = format!("{main} lb_upgrade_timeout 1s;");
    let hasty = Conf {
        main: &hasty,
        ..conf
    };
    let mut site = UpgradeSite::start_in(shared_dir(), hasty, |_| {}).await;
    let front = site.path("front");
    let first = site.pid().unwrap();
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("before").await.unwrap();
    // New binaries that fail: one ends, one hangs as root, which the server itself cannot signal. It inherits the helper's
    // blocked signals, and is killed.
    for (script, logged) in [
        ("exit 7", "exit status: 7"),
        ("exec sleep 1000", "signal: 9"),
    ] {
        let before = site.old.count("nothing changed");
        site.replace_program(script);
        site.old.signal(Signal::USR2);
        site.old.logged(logged).await;
        let fails = || site.old.count("nothing changed") > before;
        eventually("the failure", fails).await;
        eventually("the old pid file", || site.pid() == Some(first)).await;
        assert_eq!(ask_unix(&front).await.unwrap(), "node");
    }
    site.replace_program("exec NGINX_LIKE \"$@\"");
    site.configure(conf);
    site.old.signal(Signal::HUP);
    site.old.logged("Configuration applied").await;
    let second = site.upgrade().await;
    let status = fs::read_to_string(format!("/proc/{}/status", second.as_raw_nonzero())).unwrap();
    let user = uid().to_string();
    assert_eq!(field(&status, "Uid:"), [user.as_str(); 4]);
    assert_eq!(fs::metadata(site.path("lb.pid")).unwrap().uid(), 0);
    // Back, and forth again: the files are root's, and the helpers'.
    site.go_back(second, Signal::QUIT).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "node");
    let third = site.upgrade().await;
    session.say("during").await.unwrap();
    drop(session);
    kill_process(first, Signal::QUIT).unwrap();
    site.old.ended().await;
    eventually("the end of the old pid file", || site.old_pid().is_none()).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "node");
    site.old.logged("Process of the old binary leaves").await;
    // The next generation is started by the helper of the last one.
    let fourth = site.upgrade().await;
    kill_process(third, Signal::QUIT).unwrap();
    gone(third).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "node");
    ask(site.old.addr).await.unwrap();
    let leaves = || site.old.count("Process of the old binary leaves") > 1;
    eventually("the old process to leave", leaves).await;
    kill_process(fourth, Signal::HUP).unwrap();
    site.old.logged("Configuration applied").await;
    kill_process(fourth, Signal::QUIT).unwrap();
    gone(fourth).await;
    eventually("the removal of the files", || {
        !front.exists() && site.pid().is_none()
    })
    .await;
}

#[tokio::test]
async fn lb_admin_is_answered_by_the_newest_process_that_is_ready() {
    let site = UpgradeSite::start(Conf {
        stream: "lb_admin unix:DIR/admin;",
        ..Conf::default()
    })
    .await;
    let admin = site.path("admin");
    let old = site.pid();
    assert_eq!(admin_of(&admin).await, old);
    let new = site.upgrade().await;
    for _ in 0..5 {
        assert_eq!(admin_of(&admin).await, Some(new));
    }
    site.go_back(new, Signal::KILL).await;
    for _ in 0..5 {
        assert_eq!(admin_of(&admin).await, old);
    }
    let new = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    site.old.logged("Process of the old binary leaves").await;
    eventually("the end of the old process", || site.old_pid().is_none()).await;
    assert_eq!(admin_of(&admin).await, Some(new));
    kill_process(new, Signal::QUIT).unwrap();
    gone(new).await;
    assert!(!admin.exists());
}

/// The socket is descriptor 3, as systemd passes it on. `LISTEN_PID` is the old process's.
#[tokio::test]
async fn sockets_of_systemd_go_over_and_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("front");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let script = format!(
        "exec env LISTEN_PID=$$ LISTEN_FDS=1 {} \"$@\" 3<&0 </dev/null",
        env!("CARGO_BIN_EXE_nginx_like")
    );
    let start = |command: &mut Command| {
        *command = Command::new("sh");
        command
            .args(["-c", &script, "sh"])
            .stdin(Stdio::from(OwnedFd::from(socket)));
    };
    let conf = Conf {
        stream: "server { listen unix:DIR/front; proxy_pass NODE; }",
        ..Conf::default()
    };
    let mut site = UpgradeSite::start_in(dir, conf, start).await;
    assert_eq!(ask_unix(&path).await.unwrap(), "node");
    let mut pid = site.pid().unwrap();
    for number in 1..=2 {
        let new = site.upgrade().await;
        kill_process(pid, Signal::QUIT).unwrap();
        assert_eq!(ask_unix(&path).await.unwrap(), "node");
        let leaves = || site.old.count("Process of the old binary leaves") == number;
        eventually("the old process to leave", leaves).await;
        pid = new;
    }
    site.old.ended().await;
    assert_eq!(ask_unix(&path).await.unwrap(), "node");
    kill_process(pid, Signal::QUIT).unwrap();
    gone(pid).await;
    assert!(path.exists(), "the file is systemd's");
}

#[tokio::test]
async fn systemd_learns_of_the_new_main_process_when_the_old_one_ends_and_hears_nothing_of_it_before()
 {
    let dir = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    // As systemd does, it reads all the time. The thread ends with the test's process.
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&told);
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok(length) = manager.recv(&mut message) {
            let message = String::from_utf8_lossy(&message[..length]);
            let lines = message
                .lines()
                .filter(|line| line.starts_with("MAINPID=") || *line == "READY=1");
            heard.lock().unwrap().extend(lines.map(str::to_owned));
        }
    });
    let path = dir.path().join("notify");
    let site = UpgradeSite::start_in(dir, Conf::default(), |command| {
        command.env("NOTIFY_SOCKET", path);
    })
    .await;
    let new = site.upgrade().await;
    // The way back does not concern systemd.
    site.go_back(new, Signal::TERM).await;
    let new = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    let main = format!("MAINPID={}", new.as_raw_nonzero());
    let is_told = || told.lock().unwrap().len() >= 3;
    eventually("the new main process", is_told).await;
    assert_eq!(*told.lock().unwrap(), ["READY=1", &main, "READY=1"]);
}

/// keepalived and a supervisor read this file: an address must not move because of an upgrade or of the way back.
#[tokio::test]
async fn the_readiness_file_says_ready_all_the_time() {
    let mut site = UpgradeSite::start(Conf {
        main: "lb_ready_file DIR/ready heartbeat=200ms; worker_shutdown_timeout 1s;",
        ..Conf::default()
    })
    .await;
    let ready = site.path("ready");
    let says = |text: &str| fs::read_to_string(&ready).is_ok_and(|now| now == text);
    eventually("readiness", || says("0\n")).await;
    let over = Arc::new(AtomicBool::new(false));
    let (path, until) = (ready.clone(), Arc::clone(&over));
    let watching = spawn_blocking(move || {
        let mut others = Vec::new();
        while !until.load(Relaxed) {
            let now = fs::read_to_string(&path).unwrap();
            if now != "0\n" && others.last() != Some(&now) {
                others.push(now);
            }
        }
        others
    });
    let owner = || fs::metadata(&ready).unwrap().ino();
    let first = owner();
    let new = site.upgrade().await;
    eventually("a file of the new process", || owner() != first).await;
    site.old.signal(Signal::WINCH);
    site.old.logged("Stopped accepting").await;
    // The new process ends while it still has a session; the old one accepts at once.
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("of the new process").await.unwrap();
    kill_process(new, Signal::QUIT).unwrap();
    site.old.logged("Accepting again").await;
    session.say("still").await.unwrap();
    drop(session);
    gone(new).await;
    let old = site.old_pid();
    eventually("the old pid file", || old.is_none() || site.pid() == old).await;
    kill_process(site.upgrade().await, Signal::KILL).unwrap();
    site.old.logged("signal: 9").await;
    eventually("the old pid file", || site.old_pid().is_none()).await;
    let last = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    site.old.ended().await;
    over.store(true, Relaxed);
    assert_eq!(watching.await.unwrap(), Vec::<String>::new());
    kill_process(last, Signal::QUIT).unwrap();
    gone(last).await;
    assert!(says("-254\n"));
}
