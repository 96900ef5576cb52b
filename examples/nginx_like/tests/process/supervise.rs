//! `supervise`: the server as the child of a supervisor, the readiness file when it cannot write, signals, and upgrades.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::command_line::run;
use crate::held_start::HeldStart;
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, eventually, within};

/// A supervisor with a server in front of a node. Dropping it kills the processes of the pid files.
struct Supervised {
    proxy: NginxLike,
    dir: tempfile::TempDir,
}

impl Supervised {
    /// Starts it with lines of the main level. `DIR` is a directory of its own. A server that has failed is started again by
    /// [`restart`](Self::restart) alone, so that no state of the file is missed.
    async fn start(main: &str) -> Self {
        Self::start_with(&["--restart-delay", "1h"], main).await
    }

    async fn start_with(options: &[&str], main: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Reserved::any();
        let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
        drop(node.serve("node").await); // detached: it lives as long as the test's runtime
        let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
        command.arg("supervise").args(options).arg("--");
        let path = dir.path().display().to_string();
        let main = format!("pid DIR/lb.pid; {main}").replace("DIR", &path);
        let proxy = NginxLike::start_by(command, Reserved::any(), &main, &stream).await;
        // The node's address stays reserved.
        std::mem::forget(node);
        let started = Self { proxy, dir };
        eventually("the pid file", || started.server().is_some()).await;
        started
    }

    /// The server of the pid file.
    fn server(&self) -> Option<Pid> {
        self.pid("lb.pid")
    }

    fn pid(&self, name: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.dir.path().join(name)).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Whether a process has the configuration in its command line.
    fn is_any_left(&self) -> bool {
        let conf = self.proxy.dir().join("test.conf");
        let conf = conf.to_str().expect("a path of ASCII");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut lines =
            processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.any(|line| String::from_utf8_lossy(&line).contains(conf))
    }

    fn ready(&self) -> PathBuf {
        self.dir.path().join("ready")
    }

    /// Waits until the readiness file has this content, and returns how long that took.
    async fn says(&self, content: &str) -> Duration {
        let start = Instant::now();
        let is_said = || fs::read_to_string(self.ready()).is_ok_and(|found| found == content);
        within(&format!("{content:?} in the readiness file"), async {
            while !is_said() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        start.elapsed()
    }

    /// Waits until the supervisor has ended.
    async fn exit(&mut self) -> ExitStatus {
        self.proxy.status().await
    }

    async fn ends_by_sigterm(&mut self) {
        self.proxy.signal(Signal::TERM);
        assert!(self.exit().await.success());
    }

    /// Sends a signal to the server itself.
    fn kill(&self, signal: Signal) -> Pid {
        let pid = self.server().expect("a server");
        kill_process(pid, signal).unwrap();
        pid
    }

    /// Kills the server, and starts another one that waits for the configuration after `readers` other processes have read it.
    async fn held_start(&self, readers: usize) -> (HeldStart, fs::File) {
        let before = self.kill(Signal::KILL);
        let line = format!("server {before} ended");
        self.proxy.logged(&line).await;
        let held = HeldStart::of(&self.proxy);
        self.proxy.signal(Signal::HUP);
        for _ in 0..readers {
            let reading = held.reached().await;
            held.hold_next(reading);
        }
        let waiting = held.reached().await;
        (held, waiting)
    }

    /// Starts a server that has failed again, and waits until it has written the pid file.
    async fn restart(&self, before: Pid) -> Pid {
        // Before that, SIGHUP would be passed on.
        let line = format!("server {before} ended");
        self.proxy.logged(&line).await;
        self.proxy.signal(Signal::HUP);
        self.replaced(before).await
    }

    /// Waits until another server than `before` has written the pid file.
    async fn replaced(&self, before: Pid) -> Pid {
        let is_new = || self.server().is_some_and(|pid| pid != before);
        eventually("another server", is_new).await;
        self.server().expect("a server")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.proxy.kill();
        for name in ["lb.pid", "lb.pid.oldbin"] {
            if let Some(pid) = self.pid(name) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

#[tokio::test]
async fn a_killed_server_is_not_ready_at_once_and_is_started_again() {
    let supervised = Supervised::start("lb_ready_file DIR/ready ready=7 not_ready=-60;").await;
    let mut took = Vec::new();
    for signal in [Signal::KILL, Signal::ABORT, Signal::KILL, Signal::ILL] {
        supervised.says("7\n").await;
        let before = supervised.kill(signal);
        took.push(supervised.says("-60\n").await);
        supervised.restart(before).await;
    }
    supervised.says("7\n").await;
    assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
    eprintln!("killed, and \"not ready\" in the file after {took:?}");
    let line = "ended (signal: 9 (SIGKILL))";
    supervised.proxy.logged(line).await;
}

#[tokio::test]
async fn a_stopped_server_is_not_ready_after_its_heartbeat_until_it_goes_on() {
    let supervised = Supervised::start("lb_ready_file DIR/ready heartbeat=200ms;").await;
    for _ in 0..2 {
        supervised.says("0\n").await;
        supervised.kill(Signal::STOP);
        let down = supervised.says("-254\n").await;
        supervised.kill(Signal::CONT);
        let up = supervised.says("0\n").await;
        eprintln!("stopped, not ready after {down:?}; continued, ready after {up:?}");
    }
    // On a busy machine the server may be late at other times, too.
    let twice = || supervised.proxy.count("no heartbeat") >= 2;
    eventually("two lines in the log", twice).await;
    // One that is killed while it is stopped is replaced.
    supervised.kill(Signal::STOP);
    supervised.says("-254\n").await;
    let before = supervised.kill(Signal::KILL);
    supervised.restart(before).await;
    supervised.says("0\n").await;
}

#[tokio::test]
async fn signals_reach_the_server_and_a_wanted_end_ends_the_supervisor() {
    let main = "lb_ready_file DIR/ready leaving=-60; error_log DIR/error.log;";
    let mut supervised = Supervised::start(main).await;
    supervised.says("0\n").await;
    supervised.proxy.signal(Signal::HUP);
    supervised.proxy.logged("Configuration applied").await;
    let log = supervised.dir.path().join("error.log");
    fs::remove_file(&log).unwrap();
    supervised.proxy.signal(Signal::USR1);
    eventually("a new log", || log.exists()).await;
    let mut open = Conversation::open(supervised.proxy.addr).await.unwrap();
    open.say("hello").await.unwrap();
    supervised.proxy.signal(Signal::QUIT);
    supervised.says("-60\n").await;
    supervised.proxy.refused().await;
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    drop(open);
    assert!(supervised.exit().await.success());
    // The server itself has written it.
    supervised.says("-60\n").await;
    assert_eq!(supervised.server(), None);
}

#[tokio::test]
async fn an_end_of_the_server_without_an_error_ends_the_supervisor_whichever_process_was_asked() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut supervised = Supervised::start("").await;
        supervised.proxy.signal(signal);
        assert!(supervised.exit().await.success());
        assert_eq!(supervised.server(), None);
    }
    let mut supervised = Supervised::start("").await;
    supervised.kill(Signal::QUIT);
    assert!(supervised.exit().await.success());
    assert_eq!(supervised.proxy.count("started again"), 0);
}

#[tokio::test]
async fn a_server_that_fails_at_once_is_tried_again_ever_more_slowly_until_its_cause_is_mended() {
    const DELAYS: [&str; 4] = ["--restart-delay", "20ms", "--max-restart-delay", "80ms"];
    let supervised = Supervised::start_with(&DELAYS, "lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let good = fs::read_to_string(supervised.proxy.dir().join("test.conf")).unwrap();
    let bad = good.replace("proxy_pass", "proxy_passes");
    fs::write(supervised.proxy.dir().join("test.conf"), bad).unwrap();
    let before = supervised.kill(Signal::KILL);
    for delay in ["20 ms", "40 ms", "80 ms"] {
        let line = format!("started again in {delay}\n");
        supervised.proxy.logged(&line).await;
    }
    let is_bounded = || supervised.proxy.count("started again in 80 ms\n") > 2;
    eventually("the longest delay again", is_bounded).await;
    supervised.proxy.logged("unknown directive").await;
    supervised.says("-254\n").await;
    fs::write(supervised.proxy.dir().join("test.conf"), good).unwrap();
    supervised.replaced(before).await;
    supervised.says("0\n").await;
}

#[tokio::test]
async fn a_supervisor_between_two_starts_ends_with_the_status_of_the_server() {
    let mut supervised = Supervised::start("").await;
    supervised.kill(Signal::KILL);
    supervised.proxy.logged("started again in").await;
    supervised.proxy.signal(Signal::TERM);
    assert_eq!(supervised.exit().await.code(), Some(128 + 9));
}

#[tokio::test]
async fn options_stand_in_for_the_directive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other");
    let text = path.display().to_string();
    let options = ["--ready-file", &text, "--not-ready", "-1"];
    let supervised = Supervised::start_with(&options, "").await;
    let says = |content: &str| fs::read_to_string(&path).is_ok_and(|found| found == content);
    // No server writes it.
    assert!(says("-1\n"));
    fs::write(&path, "0\n").unwrap();
    supervised.kill(Signal::KILL);
    eventually("not ready", || says("-1\n")).await;
}

/// The new process is the old one's child, and the supervisor's once that has ended.
#[tokio::test]
async fn a_new_binary_is_followed() {
    let mut supervised = Supervised::start("lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let old = supervised.server().expect("a server");
    supervised.proxy.signal(Signal::USR2);
    let new = supervised.replaced(old).await;
    kill_process(old, Signal::QUIT).unwrap();
    let line = format!("server {old} ended (exit status: 0)");
    supervised.proxy.logged(&line).await;
    assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
    supervised.says("0\n").await;
    // It is the one that is watched now.
    kill_process(new, Signal::KILL).unwrap();
    let took = supervised.says("-254\n").await;
    eprintln!("a new binary killed, and \"not ready\" after {took:?}");
    let third = supervised.restart(new).await;
    supervised.says("0\n").await;
    assert!(third != old);
    supervised.ends_by_sigterm().await;
}

#[tokio::test]
async fn the_old_binary_takes_back_the_service_and_is_followed() {
    let mut supervised = Supervised::start("lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let old = supervised.server().expect("a server");
    supervised.proxy.signal(Signal::USR2);
    let new = supervised.replaced(old).await;
    let line = format!("server {new} is the main process now");
    supervised.proxy.logged(&line).await;
    kill_process(new, Signal::KILL).unwrap();
    let line = format!("server {old} is the main process now");
    supervised.proxy.logged(&line).await;
    assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
    assert_eq!(supervised.proxy.count("started again"), 0);
    // A signal to end reaches both of an upgrade.
    supervised.proxy.signal(Signal::USR2);
    supervised.replaced(old).await;
    supervised.proxy.signal(Signal::QUIT);
    assert!(supervised.exit().await.success());
    assert_eq!(supervised.server(), None);
}

/// The old process ends well, which is no wanted end of the service: neither at once nor while the service waits for its next start.
#[tokio::test]
async fn a_new_binary_that_is_killed_while_the_old_one_drains_is_started_again() {
    for ends_late in [false, true] {
        killed_beside_one_that_drains(ends_late).await;
    }
}

async fn killed_beside_one_that_drains(ends_late: bool) {
    let supervised = Supervised::start("lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let mut session = Conversation::open(supervised.proxy.addr).await.unwrap();
    session.say("of the old one").await.unwrap();
    let old = supervised.server().expect("a server");
    supervised.proxy.signal(Signal::USR2);
    let new = supervised.replaced(old).await;
    let line = format!("server {new} is the main process now");
    supervised.proxy.logged(&line).await;
    supervised.says("0\n").await;
    kill_process(old, Signal::QUIT).unwrap();
    supervised
        .proxy
        .logged("Process of the old binary leaves")
        .await;
    kill_process(new, Signal::KILL).unwrap();
    let line = format!("server {new} ended");
    supervised.proxy.logged(&line).await;
    supervised
        .proxy
        .logged("Process of the new binary ended")
        .await;
    assert_eq!(supervised.pid("lb.pid.oldbin"), Some(old));
    assert_eq!(session.say("drains").await.unwrap(), "node");
    if ends_late {
        supervised.proxy.logged("started again in").await;
    }
    drop(session);
    let line = format!("server {old} ended (exit status: 0)");
    supervised.proxy.logged(&line).await;
    supervised.says("-254\n").await;
    supervised.restart(new).await;
    supervised.says("0\n").await;
}

#[tokio::test]
async fn an_old_binary_that_takes_back_the_service_late_is_followed_and_no_other_one_is_started() {
    let supervised = Supervised::start("lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let old = supervised.server().expect("a server");
    supervised.proxy.signal(Signal::USR2);
    let new = supervised.replaced(old).await;
    let line = format!("server {new} is the main process now");
    supervised.proxy.logged(&line).await;
    kill_process(old, Signal::STOP).unwrap();
    kill_process(new, Signal::KILL).unwrap();
    supervised.proxy.logged("started again in").await;
    kill_process(old, Signal::CONT).unwrap();
    let line = format!("server {old} is the main process now");
    supervised.proxy.logged(&line).await;
    supervised.says("0\n").await;
    assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
    // Its end is one of the service again.
    kill_process(old, Signal::KILL).unwrap();
    supervised.says("-254\n").await;
    supervised.restart(old).await;
    supervised.says("0\n").await;
}

/// The new process has the sockets, and is not ready yet.
#[tokio::test]
async fn a_new_binary_whose_old_one_ends_before_it_is_ready_becomes_the_server() {
    for signal in [Signal::KILL, Signal::QUIT] {
        let mut supervised = Supervised::start("lb_ready_file DIR/ready;").await;
        supervised.says("0\n").await;
        let old = supervised.server().expect("a server");
        let held = HeldStart::of(&supervised.proxy);
        supervised.proxy.signal(Signal::USR2);
        let waiting = held.reached().await;
        kill_process(old, signal).unwrap();
        let line = "which starts, is the main process now";
        supervised.proxy.logged(line).await;
        held.go_on(waiting);
        supervised.replaced(old).await;
        supervised.says("0\n").await;
        assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
        assert_eq!(supervised.proxy.count("started again"), 0);
        supervised.ends_by_sigterm().await;
        assert_eq!(supervised.server(), None);
    }
}

#[tokio::test]
async fn a_signal_to_end_reaches_a_new_binary_that_is_not_ready_yet() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut supervised = Supervised::start("lb_ready_file DIR/ready;").await;
        supervised.says("0\n").await;
        let held = HeldStart::of(&supervised.proxy);
        supervised.proxy.signal(Signal::USR2);
        let waiting = held.reached().await;
        supervised.proxy.signal(signal);
        assert!(supervised.exit().await.success());
        drop(waiting);
        assert!(!held.is_reached(), "no process is left");
    }
}

#[tokio::test]
async fn a_signal_before_the_server_handles_it_waits() {
    for (signal, name, effect) in [
        (Signal::HUP, "SIGHUP", "Configuration applied"),
        (Signal::USR1, "SIGUSR1", "Log reopened"),
        (Signal::USR2, "SIGUSR2", "Accepting with the sockets"),
        // It acts on a daemon or beside a new binary only.
        (Signal::WINCH, "SIGWINCH", "Listening"),
    ] {
        let main = "error_log DIR/log info; lb_ready_file DIR/ready;";
        let mut supervised = Supervised::start(main).await;
        let (held, waiting) = supervised.held_start(1).await;
        supervised.proxy.signal(signal);
        supervised.proxy.signal(signal);
        let line = format!("{name} waits until server");
        supervised.proxy.logged(&line).await;
        let before = supervised.proxy.count(effect);
        held.go_on(waiting);
        supervised.says("0\n").await;
        let has_effect = || supervised.proxy.count(effect) > before;
        eventually(effect, has_effect).await;
        assert_eq!(supervised.proxy.count(&line), 1);
        assert_eq!(supervised.proxy.count(" ended ("), 1);
        assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
        supervised.ends_by_sigterm().await;
    }
}

#[tokio::test]
async fn a_signal_to_end_before_the_server_handles_it_ends_the_service() {
    // The supervisor reads the configuration first, and the process that starts a daemon.
    for (daemon, readers) in [("", 1), ("daemon on;", 2)] {
        for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2), (Signal::QUIT, 3)] {
            let mut supervised = Supervised::start(daemon).await;
            if !daemon.is_empty() {
                supervised.proxy.logged("is the main process now").await;
            }
            let (_held, _waiting) = supervised.held_start(readers).await;
            // A signal that waits does not survive the service.
            supervised.proxy.signal(Signal::USR2);
            supervised.proxy.logged("SIGUSR2 waits").await;
            supervised.proxy.signal(signal);
            assert_eq!(supervised.exit().await.code(), Some(128 + number));
            supervised.proxy.refused().await;
            assert!(!supervised.is_any_left());
        }
    }
}

/// The new binary has taken the place of the old one before it handles signals.
#[tokio::test]
async fn a_signal_before_a_new_binary_handles_it_waits() {
    let mut supervised = Supervised::start("lb_ready_file DIR/ready;").await;
    supervised.says("0\n").await;
    let old = supervised.server().expect("a server");
    let held = HeldStart::of(&supervised.proxy);
    supervised.proxy.signal(Signal::USR2);
    let waiting = held.reached().await;
    kill_process(old, Signal::KILL).unwrap();
    supervised.proxy.logged("which starts, is the main").await;
    supervised.proxy.signal(Signal::HUP);
    supervised.proxy.signal(Signal::USR1);
    supervised.proxy.logged("SIGHUP waits").await;
    supervised.proxy.logged("SIGUSR1 waits").await;
    held.go_on(waiting);
    supervised.replaced(old).await;
    supervised.proxy.logged("Configuration applied").await;
    assert_eq!(supervised.proxy.count("started again"), 0);
    assert_eq!(ask(supervised.proxy.addr).await.unwrap(), "node");
    supervised.ends_by_sigterm().await;
}

#[tokio::test]
async fn a_daemon_gets_the_signal_that_came_before_it_was_ready() {
    let main = "daemon on; lb_ready_file DIR/ready;";
    let supervised = Supervised::start(main).await;
    supervised.proxy.logged("is the main process now").await;
    let (held, waiting) = supervised.held_start(2).await;
    supervised.proxy.signal(Signal::HUP);
    supervised.proxy.logged("SIGHUP waits").await;
    held.go_on(waiting);
    supervised.says("0\n").await;
    supervised.proxy.logged("Configuration applied").await;
}

#[tokio::test]
async fn a_daemon_is_followed() {
    let mut supervised = Supervised::start("daemon on; lb_ready_file DIR/ready;").await;
    supervised.proxy.logged("is the main process now").await;
    supervised.says("0\n").await;
    let before = supervised.kill(Signal::KILL);
    supervised.says("-254\n").await;
    supervised.restart(before).await;
    supervised.says("0\n").await;
    supervised.ends_by_sigterm().await;
}

#[tokio::test]
async fn a_command_line_that_serves_nothing_is_refused() {
    let root = std::path::Path::new("/");
    for arguments in [
        &["supervise", "--", "-t"][..],
        &["supervise", "--", "-s", "quit"],
        &["supervise", "--", "status"],
        &["supervise", "--", "--demo"],
        &["supervise", "--", "--none"],
        &["supervise", "-c", "nginx.conf"],
        &["supervise", "--restart-delay", "soon"],
    ] {
        let (output, said) = run(arguments, root);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    }
}
