//! Each phase of a shutdown, as clients see it.

use rustix::process::Signal;

use super::Script;
use crate::proxy::NginxLike;
use crate::readiness::{node, says};
use crate::sockets::{Conversation, ask, within};

/// lb-proxy resets the sessions that are left in as many steps.
const STEPS: usize = 64;

/// Ends when the other process has made a file.
const GATE: &str = "touch $1/started; while [ ! -e $1/gone ]; do sleep 0.01; done";

#[tokio::test]
async fn clients_are_served_then_refused_and_sessions_go_on_until_they_are_reset_one_by_one() {
    let (_node, stream) = node().await;
    let script = Script::new(GATE);
    // Long enough for what a busy machine does with the sessions in each phase.
    let main = script.main("worker_shutdown_timeout 8s; lb_close_spread 4000s;");
    let proxy = NginxLike::start(&main, &stream).await;
    says(&script.ready_file(), "0\n").await;
    let mut sessions = Vec::new();
    for _ in 0..STEPS {
        let mut session = Conversation::open(proxy.addr).await.unwrap();
        session.say("begin").await.unwrap();
        sessions.push(session);
    }

    // Leaving: not ready, and new connections are served until the command ends.
    proxy.signal(Signal::QUIT);
    script.made("started").await;
    says(&script.ready_file(), "-60\n").await;
    for _ in 0..10 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    }
    assert!(!proxy.log().contains("Draining"));

    // Draining: new connections are refused, sessions go on.
    script.make("gone");
    proxy.logged("Withdraw command ended").await;
    proxy.refused().await;
    for session in &mut sessions {
        session.say("still open").await.unwrap();
    }

    // Closing: the first sessions are reset, all others go on.
    let mut first = sessions.remove(STEPS - 1);
    within("the first reset", async {
        while first.say("until the time-out").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for session in &mut sessions {
        session.say("later").await.unwrap();
    }

    // SIGTERM ends all phases.
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    for session in &mut sessions {
        session.say("over").await.unwrap_err();
    }
    says(&script.ready_file(), "-60\n").await;
}

#[tokio::test]
async fn the_delay_and_the_command_both_have_to_end() {
    let (_node, stream) = node().await;
    let script = Script::new("touch $1/started");
    let proxy = NginxLike::start(&script.main("lb_withdraw_delay 1000s;"), &stream).await;
    says(&script.ready_file(), "0\n").await;
    proxy.signal(Signal::QUIT);
    proxy.logged("Withdraw command ended").await;
    script.made("started").await;
    ask(proxy.addr).await.unwrap();
    assert!(!proxy.log().contains("Draining"));
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
}
