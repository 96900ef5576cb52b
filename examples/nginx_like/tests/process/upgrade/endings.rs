//! Processes of an upgrade that end at moments when the other one does not know yet, or ends too.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::{Pid, Signal, kill_process};

use super::site::{Conf, UpgradeSite, gone};
use crate::held_start::HeldStart;
use crate::sockets::{Conversation, ask_unix, eventually};

const READY_FILE: Conf<'_> = Conf {
    main: "lb_ready_file DIR/ready leaving=-60;",
    stream: "",
};

async fn says(site: &UpgradeSite, content: &str) {
    let path = site.path("ready");
    let is_said = || fs::read_to_string(&path).is_ok_and(|found| found == content);
    eventually(&format!("{content:?} in the readiness file"), is_said).await;
}

/// The state of a process in `/proc`, such as T for stopped and Z for one that was not waited for.
fn state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.chars().next()
}

async fn stop(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    eventually("a stopped process", || state(pid) == Some('T')).await;
}

/// Each of them sees that the other one serves when it begins to end, unless it looks again.
#[tokio::test]
async fn if_both_end_at_the_same_time_the_readiness_file_says_so() {
    for is_old_late in [false, true] {
        let mut site = UpgradeSite::start(READY_FILE).await;
        says(&site, "0\n").await;
        let owner = || fs::metadata(site.path("ready")).unwrap().ino();
        let (old, of_old) = (site.pid().unwrap(), owner());
        let new = site.upgrade().await;
        eventually("a file of the new process", || owner() != of_old).await;
        let (first, last) = match is_old_late {
            true => (new, old),
            false => (old, new),
        };
        stop(last).await;
        kill_process(first, Signal::QUIT).unwrap();
        let has_ended = || matches!(state(first), None | Some('Z'));
        eventually("the end of one", has_ended).await;
        kill_process(last, Signal::QUIT).unwrap();
        kill_process(last, Signal::CONT).unwrap();
        site.old.ended().await;
        gone(new).await;
        says(&site, "-60\n").await;
        assert_eq!((site.pid(), site.old_pid()), (None, None));
    }
}

#[tokio::test]
async fn an_old_process_that_drains_already_leaves_all_to_a_new_one_that_becomes_ready() {
    let mut site = UpgradeSite::start(READY_FILE).await;
    says(&site, "0\n").await;
    let old = site.pid().unwrap();
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("before").await.unwrap();
    let held = HeldStart::of(&site.old);
    site.old.signal(Signal::USR2);
    let waiting = held.reached().await;
    site.old.signal(Signal::QUIT);
    site.old.logged("Draining").await;
    says(&site, "-60\n").await;
    held.go_on(waiting);
    site.old.logged("Process of the old binary leaves").await;
    says(&site, "0\n").await;
    session.say("drains").await.unwrap();
    let new = site.pid().unwrap();
    assert_ne!(new, old);
    // Which is the last one that serves.
    kill_process(new, Signal::QUIT).unwrap();
    says(&site, "-60\n").await;
    session.say("still").await.unwrap();
    drop(session);
    site.old.ended().await;
    gone(new).await;
    says(&site, "-60\n").await;
}

/// As one that is not ready in time, which the old process ends.
#[tokio::test]
async fn a_new_process_that_is_ended_before_it_is_ready_takes_nothing() {
    const FRONT: &str = "server { listen unix:DIR/front; proxy_pass NODE; }";
    let site = UpgradeSite::start(Conf {
        stream: FRONT,
        ..READY_FILE
    })
    .await;
    says(&site, "0\n").await;
    let old = site.pid();
    // A name server that never answers. The end takes its time.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stream = format!(
        "{FRONT} resolver {}; upstream u {{ zone u 64k; server a.test:1 resolve; }}
         server {{ listen unix:DIR/other; proxy_pass u; }}",
        silent.local_addr().unwrap()
    );
    let main = format!("{} lb_withdraw_delay 300ms;", READY_FILE.main);
    site.configure(Conf {
        main: &main,
        stream: &stream,
    });
    site.old.signal(Signal::USR2);
    site.old.logged("Process of the new binary started").await;
    // It is opened after the sockets, and written by a process that takes over.
    eventually("the pid file", || site.path("lb.pid").exists()).await;
    let log = site.old.log();
    let (_, new) = log.rsplit_once(" started pid=").expect("its line");
    let new = new.lines().next().expect("a number").parse().unwrap();
    let new = Pid::from_raw(new).unwrap();
    kill_process(new, Signal::QUIT).unwrap();
    site.old.logged("nothing changed").await;
    eventually("the old pid file", || site.pid() == old).await;
    says(&site, "0\n").await;
    let front = site.path("front");
    assert_eq!(ask_unix(&front).await.unwrap(), "node");
    assert!(!site.path("other").exists());
    let log = site.old.log();
    assert!(
        !log.contains("Accepting with the sockets of the old"),
        "{log}"
    );
    // The next one takes over.
    site.configure(Conf {
        stream: FRONT,
        ..READY_FILE
    });
    site.upgrade().await;
    assert_eq!(ask_unix(&front).await.unwrap(), "node");
}
