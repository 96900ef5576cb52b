//! The command of `lb_withdraw_command`: how it is started and ended.

use std::fs;

use rustix::process::{Pid, Signal};

use super::{Script, read};
use crate::command_line::run;
use crate::proxy::{NginxLike, write_conf};
use crate::readiness::{node, says};
use crate::sockets::{Conversation, ask};
use crate::upgrade::site::{Conf, UpgradeSite, gone, read as read_pid};

/// Starts a server with the script, and lets it shut down.
async fn shut_down(script: &Script, more: &str) -> NginxLike {
    let (_node, stream) = node().await;
    let proxy = NginxLike::start(&script.main(more), &stream).await;
    says(&script.ready_file(), "0\n").await;
    proxy.signal(Signal::QUIT);
    proxy
}

#[tokio::test]
async fn a_command_that_fails_is_logged_and_the_shutdown_goes_on() {
    let script = Script::new("echo to stdout; echo '\u{1b}to stderr' >&2; exit 3");
    let proxy = shut_down(&script, "").await;
    proxy
        .logged("Withdraw command failed, the shutdown goes on")
        .await;
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.contains("Withdraw command failed"));
    let line = line.unwrap();
    assert!(line.contains("exit status: 3: to stdout"), "{line}");
    assert!(
        line.contains("to stderr") && !line.contains('\u{1b}'),
        "{line}"
    );
    assert!(proxy.exit().await.success());

    let (_node, stream) = node().await;
    let proxy = NginxLike::start("lb_withdraw_command /no/such/program;", &stream).await;
    proxy.signal(Signal::QUIT);
    proxy
        .logged("it cannot be started (2: No such file or directory)")
        .await;
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn a_command_that_does_not_end_is_killed_with_what_it_has_started() {
    // The shell waits for sleep.
    let script = Script::new(
        "sleep 1000 & echo $! >$1/child.new; mv $1/child.new $1/child; echo waiting; wait",
    );
    let proxy = shut_down(&script, "lb_withdraw_timeout 1s;").await;
    script.made("child").await;
    ask(proxy.addr).await.unwrap();
    proxy
        .logged("killed, because it did not end within 1s: waiting")
        .await;
    gone(child(&script)).await;
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn a_fast_stop_kills_the_command() {
    let script = Script::new("sleep 1000 & echo $! >$1/child.new; mv $1/child.new $1/child; wait");
    let proxy = shut_down(&script, "").await;
    script.made("child").await;
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    gone(child(&script)).await;
}

fn child(script: &Script) -> Pid {
    read_pid(&script.path("child")).expect("the id of a process")
}

/// Output that no process reads would block the command.
#[tokio::test]
async fn much_output_does_not_stop_the_command_and_is_cut_in_the_log() {
    let script = Script::new("yes | head -c 1000000; exit 1");
    let proxy = shut_down(&script, "lb_withdraw_timeout 1h;").await;
    proxy.logged("exit status: 1: y").await;
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.contains("Withdraw command failed"));
    assert!(line.unwrap().len() < 4096);
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn no_shell_reads_the_arguments_and_a_reload_replaces_them() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(
        &script,
        "for word in \"$@\"; do echo \"<$word>\"; done >\"$1\"",
    )
    .unwrap();
    let main = |last: &str| {
        let (script, to) = (script.display(), dir.path().join("words"));
        format!("lb_withdraw_command sh {script} {} {last};", to.display())
    };
    let (_node, stream) = node().await;
    let proxy = NginxLike::start(&main("before"), &stream).await;
    proxy
        .reload(&main("'$HOME; exit 1' \"a b\" *"), &stream)
        .await;
    proxy.signal(Signal::QUIT);
    proxy.logged("Withdraw command ended").await;
    let words = read(&dir.path().join("words"));
    let (_, words) = words.split_once('\n').unwrap();
    assert_eq!(words, "<$HOME; exit 1>\n<a b>\n<*>\n");
    assert!(proxy.exit().await.success());
}

/// The address has to stay where it is.
#[tokio::test]
async fn an_upgrade_and_the_way_back_withdraw_nothing() {
    let script = Script::new("touch $1/withdrawn");
    let main = script.main("lb_withdraw_delay 10ms;");
    let conf = Conf {
        main: &main,
        ..Conf::default()
    };
    let mut site = UpgradeSite::start(conf).await;
    says(&script.ready_file(), "0\n").await;
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("begin").await.unwrap();
    let new = site.upgrade().await;
    rustix::process::kill_process(new, Signal::QUIT).unwrap();
    gone(new).await;
    let old = site.old_pid();
    crate::sockets::eventually("the old pid file", || old.is_none() || site.pid() == old).await;
    let new = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    site.old.logged("Draining").await;
    drop(session);
    site.old.ended().await;
    assert!(!script.path("withdrawn").exists());
    says(&script.ready_file(), "0\n").await;
    rustix::process::kill_process(new, Signal::QUIT).unwrap();
    gone(new).await;
    assert!(script.path("withdrawn").exists());
}

#[test]
fn a_program_that_cannot_be_executed_is_a_warning_of_a_test() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    fs::write(dir.path().join("file"), "").unwrap();
    for (program, error) in [
        ("sh", None),
        ("/bin/sh", None),
        ("no-such-program", Some("\"no-such-program\" (2: ")),
        ("/no/such/program", Some("\"/no/such/program\" (2: ")),
        ("./file", Some("file\" (13: ")),
    ] {
        let text = format!(
            "pid {at}/pid;\nlb_withdraw_command {program} -c;\nevents {{}}\n\
             stream {{ server {{ listen 127.0.0.1:4461; return x; }} }}"
        );
        write_conf(dir.path(), &text);
        let (output, said) = run(&["-t", "-c", "test.conf"], dir.path());
        assert!(output.status.success(), "{said}");
        let warning = said.lines().find(|line| line.contains("[warn]"));
        match (warning, error) {
            (Some(warning), Some(error)) => {
                assert!(warning.contains(error), "{warning}");
                assert!(warning.ends_with("in test.conf:2"), "{warning}");
            }
            (warning, error) => assert_eq!(warning.is_some(), error.is_some(), "{said}"),
        }
    }
}
