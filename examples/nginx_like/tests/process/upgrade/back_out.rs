//! Back from a new binary to the old one.

use rustix::process::{Signal, kill_process};

use super::site::{Conf, UpgradeSite};
use crate::sockets::{Conversation, ask};

/// Ends the new process by `signal`, and asserts that the old one serves as before.
async fn assert_back(site: &UpgradeSite, signal: Signal) {
    site.go_back(site.pid().unwrap(), signal).await;
    assert_serves(site).await;
}

/// Asserts that the old process serves as before, once the new one has ended.
async fn assert_serves(site: &UpgradeSite) {
    site.old.logged("Process of the new binary ended").await;
    for _ in 0..10 {
        ask(site.old.addr).await.unwrap();
    }
}

#[tokio::test]
async fn sighup_lets_the_old_process_accept_again_and_costs_no_session() {
    let site = UpgradeSite::start(Conf {
        main: "worker_processes 2;",
        stream: "server { listen unix:DIR/front; return x; }",
    })
    .await;
    let addr = site.old.addr;
    let mut of_old = Conversation::open(addr).await.unwrap();
    of_old.say("before").await.unwrap();
    let new = site.upgrade().await;
    site.old.signal(Signal::WINCH);
    site.old.logged("Stopped accepting, draining").await;
    let mut of_new = Conversation::open(addr).await.unwrap();
    of_new.say("hello").await.unwrap();
    site.old.signal(Signal::HUP);
    site.old.logged("Accepting again").await;
    kill_process(new, Signal::QUIT).unwrap();
    of_new.say("still").await.unwrap();
    of_old.say("still").await.unwrap();
    let old = site.old_pid().expect("the old process waits");
    // Its last session: it may end at once.
    drop(of_new);
    site.wait_until_back(new, old).await;
    assert_serves(&site).await;
    of_old.say("after").await.unwrap();
    assert!(site.path("front").exists());
    // The configuration was not read by that SIGHUP, but is by the next.
    assert_eq!(site.old.count("reconfiguring"), 0);
    site.old.signal(Signal::HUP);
    site.old.logged("Configuration applied").await;
    site.upgrade().await;
}

#[tokio::test]
async fn a_paused_process_accepts_again_by_itself_when_the_new_one_ends() {
    for signal in [Signal::TERM, Signal::KILL] {
        let site = UpgradeSite::start(Conf::default()).await;
        site.upgrade().await;
        site.old.signal(Signal::WINCH);
        site.old.logged("Stopped accepting, draining").await;
        assert_back(&site, signal).await;
        site.old.logged("Accepting again").await;
    }
}
