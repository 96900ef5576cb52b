//! The helper process: reloads, logs and pid files that need the superuser.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{USER, field, helper, is_root, node, run, runs, shared_dir, uid};
use crate::hung_files::make_fifo;
use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, ask, eventually};

#[tokio::test]
async fn a_reload_reads_a_token_that_only_the_superuser_may_read() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let (dir, admin) = (shared_dir(), Reserved::any());
    let token = dir.path().join("token");
    let write = |text: &str| {
        fs::write(&token, text).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let drain = async |token: &str| {
        let request = format!(
            "POST /drain?backend=127.0.0.1:1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(admin.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let [first, second] = ["first-token-0123456789", "second-token-0123456789"];
    write(first);
    let stream = format!(
        "lb_admin {} token={}; {stream}",
        admin.addr,
        token.display()
    );
    let user = format!("user {USER};");
    let proxy = NginxLike::start(&user, &stream).await;
    let (admitted, refused) = (drain(first).await, drain(second).await);
    assert_ne!(admitted, refused);
    proxy.reload(&user, &stream).await;
    assert_eq!(drain(first).await, admitted);
    write(second);
    proxy.reload(&user, &stream).await;
    assert_eq!(
        (drain(first).await, drain(second).await),
        (refused, admitted.clone())
    );
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    proxy.signal(Signal::HUP);
    let error = format!("\"lb_admin\": the token file {} must be", token.display());
    proxy.logged(&error).await;

    // Nothing waits for a writer: the next reload is applied.
    fs::remove_file(&token).unwrap();
    make_fifo(&token);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    proxy.signal(Signal::HUP);
    let error = format!("the token file {} is no regular file", token.display());
    proxy.logged(&error).await;
    assert_eq!(drain(second).await, admitted);
    fs::remove_file(&token).unwrap();
    write(first);
    proxy.reload(&user, &stream).await;
    assert_eq!(drain(first).await, admitted);
}

#[tokio::test]
async fn a_reload_has_the_rights_of_the_start() {
    if !is_root() {
        return;
    }
    let (node, stream) = node().await;
    let dir = shared_dir();
    let user = format!("user {USER};");
    let proxy = NginxLike::start(&user, &stream).await;
    let mut open = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(open.say("hello").await.unwrap(), "node");

    // Files that only the superuser reads, a port below 1024, and a log in a directory of the superuser.
    let low = SocketAddr::from((Ipv4Addr::new(127, 44, 6, 17), 446));
    let server = dir.path().join("low.conf");
    let text = format!("server {{ listen {low}; proxy_pass {}; }}", node.addr);
    fs::write(&server, text).unwrap();
    let include = format!("{stream} include {}/l*.conf;", dir.path().display());
    let log = dir.path().join("new.log");
    let main = format!("{user} error_log {} info;", log.display());
    proxy.configure(&main, &include);
    for secret in [&server, &proxy.dir().join("test.conf")] {
        fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    proxy.reload(&main, &include).await;
    assert_eq!(ask(low).await.unwrap(), "node");
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    let applied = || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("Configuration applied")
    };
    eventually("a message of the reload", applied).await;
    assert_eq!(fs::metadata(&log).unwrap().uid(), uid());

    // Mistakes are reported as without a user.
    fs::write(&server, "nonsense;").unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("unknown directive \"nonsense\"").await;
    fs::remove_file(proxy.dir().join("test.conf")).unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("No such file or directory").await;
    assert_eq!(ask(low).await.unwrap(), "node");
}

#[tokio::test]
async fn a_rotated_log_is_created_again_and_belongs_to_the_user() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let dir = shared_dir();
    let (log, old) = (dir.path().join("error.log"), dir.path().join("old.log"));
    let main = format!("user {USER}; error_log {} info;", log.display());
    let proxy = NginxLike::start(&main, &stream).await;
    let reopened = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.matches("Log reopened").count()
    };
    for rotations in 0..3 {
        fs::rename(&log, &old).unwrap();
        proxy.signal(Signal::USR1);
        eventually("the new log", || {
            proxy.count("Log reopened") == rotations + 1
        })
        .await;
        eventually("the message in it", || reopened(&log) == 1).await;
        assert_eq!(reopened(&old), rotations.min(1));
        assert_eq!(fs::metadata(&log).unwrap().uid(), uid());
    }
    // The start and -t refuse a link by which the user could make the helper open any file.
    let (link, target) = (dir.path().join("link.log"), dir.path().join("target"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(uid()), None).unwrap();
    let text = format!(
        "user {USER}; error_log {}; stream {{ server {{ listen {}; proxy_pass 127.0.0.1:1; }} }}",
        link.display(),
        Reserved::any().addr
    );
    let conf = write_conf(dir.path(), &text);
    for arguments in [&["-t"][..], &[]] {
        let (code, stderr) = run(arguments, &conf);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(
            stderr.contains("link.log\" failed (a symbolic link"),
            "{stderr}"
        );
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn the_pid_file_moves_and_is_removed() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let dir = shared_dir();
    let [old, new, other] = ["old.pid", "new.pid", "other.pid"].map(|name| dir.path().join(name));
    let main = |pid: &Path| format!("user {USER}; pid {};", pid.display());
    let proxy = NginxLike::start(&main(&old), &stream).await;
    let id = format!("{}\n", proxy.id());
    assert_eq!(fs::read_to_string(&old).unwrap(), id);
    proxy.reload(&main(&new), &stream).await;
    assert!(!old.exists());
    assert_eq!(fs::read_to_string(&new).unwrap(), id);
    // A reload that fails creates no pid file.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let wrong = format!("server {{ listen {listen}; proxy_pass 127.0.0.1:1; }}");
    proxy.configure(&main(&other), &wrong);
    proxy.signal(Signal::HUP);
    proxy.logged("nothing changed").await;
    assert!(!other.exists() && new.exists());
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    eventually("the removal", || !new.exists()).await;

    // The helper removes the file of a server that was killed. The file of a successor stays.
    let proxy = NginxLike::start(&main(&old), &stream).await;
    proxy.signal(Signal::KILL);
    assert!(!proxy.exit().await.success());
    eventually("the removal", || !old.exists()).await;
    let proxy = NginxLike::start(&main(&old), &stream).await;
    fs::write(&old, "1\n").unwrap();
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    assert_eq!(fs::read_to_string(&old).unwrap(), "1\n");
}

#[tokio::test]
async fn the_helper_lives_as_long_as_the_server() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let user = format!("user {USER};");
    for end in [Signal::TERM, Signal::KILL] {
        let proxy = NginxLike::start(&user, &stream).await;
        let helper = helper(&proxy).expect("a helper");
        // Signals to both processes end only the server.
        for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR1] {
            kill_process(helper, signal).unwrap();
        }
        proxy.reload(&user, &stream).await;
        assert!(runs(helper));
        let status = fs::read_to_string(format!("/proc/{}/status", helper.as_raw_nonzero()));
        let kept = u64::from_str_radix(field(&status.unwrap(), "CapPrm:")[0], 16).unwrap();
        // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
        assert_eq!(kept & !0xf, 0, "{kept:x}");
        proxy.signal(end);
        assert_eq!(proxy.exit().await.success(), end == Signal::TERM);
        eventually("the end of the helper", || !runs(helper)).await;
    }
    // Without the helper the server continues unchanged, and logs it.
    let dir = shared_dir();
    let user = format!("{user} pid {}/nginx.pid;", dir.path().display());
    let proxy = NginxLike::start(&user, &stream).await;
    kill_process(helper(&proxy).expect("a helper"), Signal::KILL).unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("the helper process has ended").await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    proxy.signal(Signal::TERM);
    proxy.logged("Pid file not removed").await;
    assert!(proxy.exit().await.success());
}

#[test]
fn the_helper_option_needs_a_socket() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = command.args(["--helper", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("Socket operation on non-socket"),
        "{stderr}"
    );
}
