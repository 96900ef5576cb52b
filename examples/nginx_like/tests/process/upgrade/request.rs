//! `nginx_like upgrade`, the command of an operator.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::site::{Conf, PROGRAM, UpgradeSite, gone};
use crate::proxy::write_conf;
use crate::sockets::{Conversation, ask, within};

/// The exit code of the command and what it says.
async fn upgrade(site: &UpgradeSite, options: &[&str]) -> (i32, String) {
    let conf = site.old.dir().join("test.conf");
    run(Command::new(PROGRAM)
        .arg("upgrade")
        .arg("-c")
        .arg(conf)
        .args(options))
    .await
}

async fn run(command: &mut Command) -> (i32, String) {
    let output = within("the command", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().expect("an exit code"), said)
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

#[tokio::test]
async fn it_replaces_the_process_and_lets_the_old_one_drain() {
    let mut site = UpgradeSite::start(Conf::default()).await;
    let old = site.pid().unwrap();
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("before").await.unwrap();
    let (code, said) = upgrade(&site, &[]).await;
    assert_eq!(code, 0, "{said}");
    let new = site.pid().unwrap();
    let expected = format!(
        "process {} has replaced process {}",
        number(new),
        number(old)
    );
    assert!(said.contains(&expected), "{said}");
    site.old.logged("SIGQUIT received").await;
    session.say("after").await.unwrap();
    ask(site.old.addr).await.unwrap();
    drop(session);
    site.old.ended().await;
    // The next one replaces that one.
    let (code, said) = upgrade(&site, &[]).await;
    assert_eq!(code, 0, "{said}");
    gone(new).await;
    let newest = site.pid().unwrap();
    ask(site.old.addr).await.unwrap();
    kill_process(newest, Signal::QUIT).unwrap();
    gone(newest).await;
}

#[tokio::test]
async fn it_keeps_the_old_process_if_asked_and_then_refuses_another_upgrade() {
    let site = UpgradeSite::start(Conf::default()).await;
    let old = site.pid().unwrap();
    let (code, said) = upgrade(&site, &["--keep-old"]).await;
    assert_eq!(code, 0, "{said}");
    let new = site.pid().unwrap();
    assert_eq!(site.old_pid(), Some(old));
    // The server only logs that it does not start one.
    let (code, said) = upgrade(&site, &[]).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("has not started a new binary within 10s"),
        "{said}"
    );
    assert_eq!((site.pid(), site.old_pid()), (Some(new), Some(old)));
    // The way back.
    site.go_back(new, Signal::QUIT).await;
    ask(site.old.addr).await.unwrap();
}

#[tokio::test]
async fn a_new_binary_that_fails_is_exit_code_1_and_changes_nothing() {
    let site = UpgradeSite::start(Conf {
        main: "lb_upgrade_timeout 300ms;",
        ..Conf::default()
    })
    .await;
    let old = site.pid();
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    let mut assert_fails = async || {
        let (code, said) = upgrade(&site, &[]).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("did not become ready"), "{said}");
        assert_eq!((site.pid(), site.old_pid()), (old, None));
        session.say("still").await.unwrap();
        ask(site.old.addr).await.unwrap();
    };
    for script in ["exit 7", "exec sleep 1000", "printf N >&0; exec sleep 1000"] {
        site.replace_program(script);
        assert_fails().await;
    }
    // That fails in no time.
    fs::remove_file(site.path("nginx_like")).unwrap();
    assert_fails().await;
    // A configuration that the command itself refuses never reaches the process.
    site.configure(Conf {
        main: "nonsense;",
        ..Conf::default()
    });
    let (code, said) = upgrade(&site, &[]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("unknown directive \"nonsense\""), "{said}");
    assert_eq!((site.pid(), site.old.count("SIGUSR2 received")), (old, 4));
}

#[tokio::test]
async fn without_a_server_it_signals_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let text = format!(
        "pid {};\nevents {{}}\nstream {{ server {{ listen 127.0.0.1:4461; return x; }} }}",
        pid.display()
    );
    let conf = write_conf(dir.path(), &text);
    let assert_refused = async |reason: &str| {
        let (code, said) = run(Command::new(PROGRAM).arg("upgrade").arg("-c").arg(&conf)).await;
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(reason), "{said}");
    };
    assert_refused("(2: No such file or directory)").await;
    fs::write(&pid, "none\n").unwrap();
    assert_refused("invalid PID number").await;
    // A process that SIGUSR2 would end.
    let mut other = Command::new("sleep");
    let mut other = other
        .arg("1000")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let id = other.id().unwrap();
    fs::write(&pid, format!("{id}\n")).unwrap();
    assert_refused("does not handle SIGUSR2").await;
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().await.unwrap();
    assert_refused("does not run").await;
}
