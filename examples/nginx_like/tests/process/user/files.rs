//! Files that hang, and names in a directory of the user, which must not lead the helper to other files.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;

use rustix::process::Signal;

use super::{USER, helper, is_root, node, runs, shared_dir, uid};
use crate::hung_files::{a_reload_that_hangs_ends_alone, make_fifo};
use crate::proxy::NginxLike;
use crate::sockets::{ask, eventually};

/// A directory of the user below `dir`.
fn users_dir(dir: &Path) -> std::path::PathBuf {
    let users = dir.join("run");
    fs::create_dir(&users).unwrap();
    chown(&users, Some(uid()), None).unwrap();
    users
}

#[tokio::test]
async fn a_pid_file_is_not_written_through_a_link_of_the_user() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let dir = shared_dir();
    let users = users_dir(dir.path());
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let [first, second] = ["lb.pid", "lb2.pid"].map(|name| users.join(name));
    let main = |pid: &Path| format!("user {USER}; pid {};", pid.display());
    let proxy = NginxLike::start(&main(&first), &stream).await;
    proxy.reload(&main(&second), &stream).await;
    assert!(second.exists() && !first.exists());
    symlink(&victim, &first).unwrap();
    lchown(&first, Some(uid()), None).unwrap();
    proxy.configure(&main(&first), &stream);
    proxy.signal(Signal::HUP);
    proxy
        .logged("a symbolic link on the way to it belongs to the user")
        .await;
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    // A link replaces the pid file, then a FIFO.
    fs::remove_file(&first).unwrap();
    fs::rename(&victim, dir.path().join("id")).unwrap();
    let id = dir.path().join("id");
    fs::write(&id, format!("{}\n", proxy.id())).unwrap();
    fs::remove_file(&second).unwrap();
    symlink(&id, &second).unwrap();
    proxy.reload(&main(&first), &stream).await;
    assert!(id.exists() && second.is_symlink());
    make_fifo(&first);
    let helper = helper(&proxy).expect("a helper");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    eventually("the end of the helper", || !runs(helper)).await;
}

#[tokio::test]
async fn a_log_is_not_opened_through_a_hard_link_of_the_user() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let dir = shared_dir();
    let users = users_dir(dir.path());
    let (victim, log) = (dir.path().join("victim"), users.join("error.log"));
    fs::write(&victim, "precious").unwrap();
    let main = format!("user {USER}; error_log {} info;", log.display());
    let proxy = NginxLike::start(&main, &stream).await;
    fs::remove_file(&log).unwrap();
    fs::hard_link(&victim, &log).unwrap();
    proxy.signal(Signal::USR1);
    proxy.logged("the file has other names").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[tokio::test]
async fn a_request_that_hangs_does_not_delay_the_next_one() {
    if is_root() {
        a_reload_that_hangs_ends_alone(&format!("user {USER};")).await;
    }
}

#[tokio::test]
async fn a_file_that_hangs_delays_neither_the_end_of_the_server_nor_of_the_helper() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let dir = shared_dir();
    let pid = dir.path().join("nginx.pid");
    let main = format!("user {USER}; pid {};", pid.display());
    let proxy = NginxLike::start(&main, &stream).await;
    let helper = helper(&proxy).expect("a helper");
    make_fifo(&proxy.dir().join("test.conf"));
    proxy.signal(Signal::HUP);
    proxy.logged("SIGHUP received: reconfiguring").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    eventually("the end of the helper", || !runs(helper)).await;
    assert!(!pid.exists());
}
