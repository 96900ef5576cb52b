//! New binaries that do not start: the old process serves on, and nothing has changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use rustix::process::Signal;

use super::site::{Conf, UpgradeSite};
use crate::sockets::{Conversation, ask, eventually};

/// Asserts that the upgrade fails with `logged`, and that the old process serves on.
async fn assert_fails(site: &UpgradeSite, logged: &str) {
    let old = site.pid().unwrap();
    let mut session = Conversation::open(site.old.addr).await.unwrap();
    session.say("before").await.unwrap();
    site.old.signal(Signal::USR2);
    site.old.logged(logged).await;
    site.old.logged("nothing changed").await;
    eventually("the old pid file", || site.pid() == Some(old)).await;
    assert_eq!(site.old_pid(), None);
    session.say("after").await.unwrap();
    ask(site.old.addr).await.unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_or_ends_changes_nothing() {
    let site = UpgradeSite::start(Conf::default()).await;
    site.replace_program("exit 7");
    assert_fails(&site, "exit status: 7").await;
    // Not a program of this machine.
    fs::remove_file(site.path("nginx_like")).unwrap();
    fs::write(site.path("nginx_like"), [0x7f, b'E', b'L', b'F', 9, 9, 9]).unwrap();
    assert_fails(&site, "Permission denied").await;
    let all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(site.path("nginx_like"), all).unwrap();
    assert_fails(&site, "Exec format error").await;
    fs::remove_file(site.path("nginx_like")).unwrap();
    assert_fails(&site, "No such file or directory").await;
    // The next one works.
    site.replace_program("exec NGINX_LIKE \"$@\"");
    site.upgrade().await;
}

#[tokio::test]
async fn a_configuration_that_the_new_process_refuses_changes_nothing() {
    let site = UpgradeSite::start(Conf::default()).await;
    site.configure(Conf {
        main: "nonsense;",
        ..Conf::default()
    });
    assert_fails(&site, "unknown directive").await;
    // An address that another program has, beside those that are handed over.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = format!(
        "server {{ listen {}; return x; }} server {{ listen unix:DIR/front; return x; }}",
        other.local_addr().unwrap()
    );
    site.configure(Conf {
        stream: &stream,
        ..Conf::default()
    });
    assert_fails(&site, "Address already in use").await;
    assert!(!site.path("front").exists());
}

#[tokio::test]
async fn a_program_that_answers_by_another_protocol_is_ended() {
    let site = UpgradeSite::start(Conf::default()).await;
    site.replace_program("printf N >&0; exec sleep 1000");
    assert_fails(&site, "another version of the protocol").await;
}

#[tokio::test]
async fn a_program_that_hangs_is_ended() {
    let site = UpgradeSite::start(Conf {
        main: "lb_upgrade_timeout 200ms;",
        ..Conf::default()
    })
    .await;
    site.replace_program("exec sleep 1000");
    assert_fails(&site, "not ready in time").await;
}

#[tokio::test]
async fn a_new_process_without_a_first_membership_does_not_take_over() {
    let site = UpgradeSite::start(Conf {
        main: "lb_upgrade_timeout 500ms;",
        ..Conf::default()
    })
    .await;
    // A name server that never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let stream = format!(
        "resolver {}; upstream u {{ zone u 64k; server a.test:1 resolve; }} server {{ listen unix:DIR/front; proxy_pass u; }}",
        silent.local_addr().unwrap()
    );
    site.configure(Conf {
        main: "",
        stream: &stream,
    });
    let begin = Instant::now();
    assert_fails(&site, "not ready in time").await;
    eprintln!("given up after {:?}", begin.elapsed());
    assert!(!site.path("front").exists());
}
