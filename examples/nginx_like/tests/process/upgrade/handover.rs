//! The steps of nginx: SIGUSR2, SIGWINCH, SIGQUIT.

use std::fs;

use rustix::process::{Signal, kill_process};

use super::site::{Conf, UpgradeSite, gone};
use crate::sockets::{Conversation, ask, eventually};

#[tokio::test]
async fn a_new_binary_takes_over_and_sessions_of_the_old_one_go_on() {
    let mut site = UpgradeSite::start(Conf::default()).await;
    let addr = site.old.addr;
    let mut session = Conversation::open(addr).await.unwrap();
    session.say("before").await.unwrap();
    let old = site.pid().unwrap();
    let new = site.upgrade().await;
    site.old.logged("Process of the new binary is ready").await;
    for _ in 0..10 {
        ask(addr).await.unwrap();
    }
    // A second one is refused, by either process.
    kill_process(old, Signal::USR2).unwrap();
    site.old
        .logged("the process of a new binary runs already")
        .await;
    kill_process(new, Signal::USR2).unwrap();
    site.old
        .logged("the process of the old binary still serves")
        .await;
    assert_eq!((site.pid(), site.old_pid()), (Some(new), Some(old)));

    kill_process(old, Signal::WINCH).unwrap();
    site.old.logged("Stopped accepting, draining").await;
    session.say("during").await.unwrap();
    kill_process(old, Signal::QUIT).unwrap();
    site.old.logged("shutting down gracefully").await;
    session.say("after").await.unwrap();
    let mut later = Conversation::open(addr).await.unwrap();
    later.say("to the new one").await.unwrap();
    drop(session);
    site.old.ended().await;
    eventually("the end of the old pid file", || site.old_pid().is_none()).await;
    assert_eq!(site.pid(), Some(new));
    site.old.logged("Process of the old binary leaves").await;
    later.say("again").await.unwrap();

    // The new one is the old one of the next upgrade.
    let newest = site.upgrade().await;
    kill_process(new, Signal::QUIT).unwrap();
    later.say("and again").await.unwrap();
    drop(later);
    gone(new).await;
    ask(addr).await.unwrap();
    kill_process(newest, Signal::QUIT).unwrap();
    gone(newest).await;
    assert_eq!((site.pid(), site.old_pid()), (None, None));
    site.old.refused().await;
}

#[tokio::test]
async fn the_file_that_has_the_name_of_the_program_is_started_with_the_same_arguments() {
    let site = UpgradeSite::start(Conf::default()).await;
    site.replace_program("echo \"$@\" > \"$(dirname $0)/arguments\"; exec NGINX_LIKE \"$@\"");
    let new = site.upgrade().await;
    let arguments = fs::read_to_string(site.path("arguments")).unwrap();
    let conf = site.old.dir().join("test.conf");
    assert_eq!(arguments, format!("--upgrade -c {}\n", conf.display()));
    site.old.signal(Signal::QUIT);
    eventually("the end of the old pid file", || site.old_pid().is_none()).await;
    ask(site.old.addr).await.unwrap();
    kill_process(new, Signal::TERM).unwrap();
    gone(new).await;
}

#[tokio::test]
async fn a_killed_old_process_costs_the_new_one_nothing() {
    let site = UpgradeSite::start(Conf {
        stream: "server { listen unix:DIR/front; return x; }",
        ..Conf::default()
    })
    .await;
    let new = site.upgrade().await;
    site.old.signal(Signal::KILL);
    site.old.logged("Process of the old binary leaves").await;
    ask(site.old.addr).await.unwrap();
    kill_process(new, Signal::QUIT).unwrap();
    gone(new).await;
    assert!(!site.path("front").exists());
}

#[tokio::test]
async fn the_sessions_of_a_paused_process_end_by_the_shutdown_timeout() {
    let site = UpgradeSite::start(Conf {
        main: "worker_shutdown_timeout 300ms;",
        ..Conf::default()
    })
    .await;
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("before").await.unwrap();
    site.upgrade().await;
    site.old.signal(Signal::WINCH);
    site.old.logged("Stopped accepting, draining").await;
    while session.say("still").await.is_ok() {}
    // The process stays.
    assert!(site.old_pid().is_some());
    ask(site.old.addr).await.unwrap();
}

#[tokio::test]
async fn a_terminal_that_changes_its_size_changes_nothing() {
    let site = UpgradeSite::start(Conf::default()).await;
    site.old.signal(Signal::WINCH);
    site.old.signal(Signal::HUP);
    site.old.logged("Configuration applied").await;
    assert!(!site.old.log().contains("SIGWINCH"));
    ask(site.old.addr).await.unwrap();
}
