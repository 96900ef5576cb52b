//! The file of `lb_state` in an upgrade.

use std::fs;

use rustix::process::{Signal, kill_process};

use super::site::{Conf, UpgradeSite, gone};
use crate::sockets::{Conversation, Reserved, ask_unix, eventually};

/// Both processes have the same `lb_state`. The configuration of the new one has one more upstream, so the file says which of them
/// has written it.
#[tokio::test]
async fn the_state_file_is_written_by_the_process_that_takes_over() {
    const MAIN: &str = "lb_state DIR/state interval=100ms;";
    let mut site = UpgradeSite::start(Conf {
        main: MAIN,
        ..Conf::default()
    })
    .await;
    let path = site.path("state");
    let written_by_new = || {
        let text = fs::read_to_string(&path).ok()?;
        Some(text.contains("of_the_new_one"))
    };
    eventually("the file of the old process", || {
        written_by_new() == Some(false)
    })
    .await;
    site.configure(Conf {
        main: MAIN,
        stream: "upstream of_the_new_one { server NODE; }",
    });
    let session = Conversation::open(site.old.addr).await.unwrap();
    let new = site.upgrade().await;
    eventually("the file of the new process", || {
        written_by_new() == Some(true)
    })
    .await;
    let modified = || fs::metadata(&path).unwrap().modified().unwrap();
    let mut writes = 0;
    let mut last = modified();
    let mut is_new = || {
        writes += usize::from(std::mem::replace(&mut last, modified()) != last);
        assert_eq!(written_by_new(), Some(true));
        writes
    };
    eventually("more writes", || is_new() > 5).await;
    // At the begin of its shutdown a process writes what it knows. This one has a session that keeps it.
    site.old.signal(Signal::QUIT);
    site.old.logged("shutting down gracefully").await;
    eventually("more writes", || is_new() > 10).await;
    drop(session);
    site.old.ended().await;
    assert_eq!(written_by_new(), Some(true));
    kill_process(new, Signal::TERM).unwrap();
    gone(new).await;
}

#[tokio::test]
async fn the_state_file_is_the_old_process_s_again_if_the_new_one_ends() {
    const MAIN: &str = "lb_state DIR/state interval=100ms;";
    let site = UpgradeSite::start(Conf {
        main: MAIN,
        ..Conf::default()
    })
    .await;
    let path = site.path("state");
    let written_by_new = || {
        let text = fs::read_to_string(&path).ok()?;
        Some(text.contains("of_the_new_one"))
    };
    site.configure(Conf {
        main: MAIN,
        stream: "upstream of_the_new_one { server NODE; }",
    });
    let new = site.upgrade().await;
    eventually("the file of the new process", || {
        written_by_new() == Some(true)
    })
    .await;
    site.go_back(new, Signal::QUIT).await;
    eventually("the file of the old process", || {
        written_by_new() == Some(false)
    })
    .await;
}

/// Only SIGUSR2 lets the file be written in this time.
#[tokio::test]
async fn an_ejection_goes_over_to_the_new_process() {
    let faulty = Reserved::any();
    let stream = format!(
        "upstream u {{ server NODE; server {} fail_timeout=1h; }} server {{ listen unix:DIR/front; proxy_pass u; }}",
        faulty.addr
    );
    let site = UpgradeSite::start(Conf {
        main: "lb_state DIR/state interval=1h;",
        stream: &stream,
    })
    .await;
    let front = site.path("front");
    for _ in 0..2 {
        assert_eq!(ask_unix(&front).await.unwrap(), "node");
    }
    site.old
        .logged("upstream server temporarily disabled")
        .await;
    drop(faulty.serve("faulty").await);
    let new = site.upgrade().await;
    site.old.signal(Signal::QUIT);
    site.old.logged("Process of the old binary leaves").await;
    for _ in 0..4 {
        assert_eq!(ask_unix(&front).await.unwrap(), "node");
    }
    kill_process(new, Signal::TERM).unwrap();
    gone(new).await;
}
