//! `user`: what the process is afterwards, and what it can still do. All but the last test need the superuser.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::unistd::User;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Conversation, Reserved, ask, eventually};

/// Every system has it.
pub(crate) const USER: &str = "daemon";

/// `CAP_NET_BIND_SERVICE` alone, as the kernel shows it.
const BIND: &str = "0000000000000400";
const NONE: &str = "0000000000000000";

pub(crate) fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only the superuser can become another user");
    }
    is_root
}

pub(crate) fn uid() -> u32 {
    User::from_name(USER).unwrap().unwrap().uid.as_raw()
}

pub(crate) async fn node() -> (Reserved, String) {
    let node = Reserved::any();
    drop(node.serve("node").await); // detached: it lives as long as the test's runtime
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    (node, stream)
}

/// A directory that only the superuser may write to, but all may read.
pub(crate) fn shared_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

pub(crate) async fn reload(proxy: &NginxLike, main: &str, stream: &str) {
    let before = proxy.count("Configuration applied");
    proxy.configure(main, stream);
    proxy.signal(Signal::HUP);
    eventually("the reload", || {
        proxy.count("Configuration applied") > before
    })
    .await;
}

/// Runs the binary to its end.
fn run(arguments: &[&str], conf: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let output = command.args(arguments).arg("-c").arg(conf).output();
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

/// The helper process of a server.
pub(crate) fn helper(proxy: &NginxLike) -> Option<Pid> {
    let id = proxy.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    let children = children.expect("a kernel that tells a process's children");
    let id = children.split_whitespace().next()?.parse().ok()?;
    Pid::from_raw(id)
}

/// Whether there is such a process and it has not ended.
pub(crate) fn runs(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()));
    status.is_ok_and(|status| field(&status, "State:")[0] != "Z")
}

fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {status}"));
    line.split_whitespace().skip(1).collect()
}

#[tokio::test]
async fn every_thread_becomes_the_user_and_keeps_at_most_the_right_to_bind() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let main = format!("user {USER}; worker_processes 2;");
    let low = (Ipv4Addr::new(127, 44, 6, 18), 446);
    let low = Reserved::at(low.into()).unwrap();
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_nginx_like"));
    let proxy = NginxLike::start_by(command, low, &main, &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
    let uid = uid().to_string();
    let tasks = fs::read_dir(format!("/proc/{}/task", proxy.id())).unwrap();
    let mut names = Vec::new();
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let name = field(&status, "Name:")[0].to_owned();
        for ids in ["Uid:", "Gid:"] {
            let ids = field(&status, ids);
            assert!(ids.iter().all(|id| *id != "0"), "{name}: {ids:?}");
        }
        assert_eq!(field(&status, "Uid:"), [&*uid; 4], "{name}");
        // Those that write logs were there before.
        let kept = if name == "log" { NONE } else { BIND };
        for set in ["CapPrm:", "CapEff:"] {
            assert_eq!(field(&status, set), [kept], "{name}: {set}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(&status, set), [NONE], "{name}: {set}");
        }
        names.push(name);
    }
    assert!(names.iter().any(|name| name == "control"), "{names:?}");
}

#[tokio::test]
async fn descriptors_are_counted_as_the_user() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let proxy = NginxLike::start(&format!("user {USER};"), &stream).await;
    let log = proxy.log();
    let (_, counted) = log.split_once("in_use=").expect("a count");
    let counted: usize = counted.split_whitespace().next().unwrap().parse().unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap();
    // A guess would be more.
    assert!(counted <= open.count(), "{log}");
}

#[tokio::test]
async fn a_reload_does_what_the_start_could_do() {
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
    reload(&proxy, &main, &include).await;
    assert_eq!(ask(low).await.unwrap(), "node");
    assert_eq!(open.say("still there?").await.unwrap(), "node");
    let applied = || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("Configuration applied")
    };
    eventually("a message of the reload", applied).await;
    assert_eq!(fs::metadata(&log).unwrap().uid(), uid());

    // Mistakes are told as ever.
    fs::write(&server, "nonsense;").unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("unknown directive \"nonsense\"").await;
    fs::remove_file(proxy.dir().join("test.conf")).unwrap();
    proxy.signal(Signal::HUP);
    proxy.logged("No such file or directory").await;
    assert_eq!(ask(low).await.unwrap(), "node");
}

#[tokio::test]
async fn a_rotated_log_is_made_again_and_belongs_to_the_user() {
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
    // What the start would refuse, -t refuses: a link with which the user could have any file opened.
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
async fn the_pid_file_moves_and_goes() {
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
    reload(&proxy, &main(&new), &stream).await;
    assert!(!old.exists());
    assert_eq!(fs::read_to_string(&new).unwrap(), id);
    // A reload that fails leaves none behind.
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

    // Not even a server that is killed leaves it behind, and that of a successor stays.
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
        // Signals that go to both end only the server.
        for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR1] {
            kill_process(helper, signal).unwrap();
        }
        reload(&proxy, &user, &stream).await;
        assert!(runs(helper));
        let status = fs::read_to_string(format!("/proc/{}/status", helper.as_raw_nonzero()));
        let kept = u64::from_str_radix(field(&status.unwrap(), "CapPrm:")[0], 16).unwrap();
        // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
        assert_eq!(kept & !0xf, 0, "{kept:x}");
        proxy.signal(end);
        assert_eq!(proxy.exit().await.success(), end == Signal::TERM);
        eventually("the end of the helper", || !runs(helper)).await;
    }
    // Without it the server goes on as it is, and says so.
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

#[cfg(feature = "kubernetes")]
#[tokio::test]
async fn a_kubeconfig_that_the_user_cannot_read_is_an_error_that_names_both() {
    if !is_root() {
        return;
    }
    let dir = shared_dir();
    let secret = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let authority = secret("ca.pem", "");
    let kubeconfig = secret(
        "kubeconfig",
        &format!(
            "{{ clusters: [{{ name: c, cluster: {{
                    server: 'https://127.0.0.1:1', certificate-authority: '{}' }} }}],
                users: [{{ name: u, user: {{ token: sesame }} }}],
                contexts: [{{ name: x, context: {{ cluster: c, user: u }} }}],
                current-context: x }}",
            authority.display()
        ),
    );
    let text = format!(
        "user {USER}; stream {{ upstream u {{ kubernetes a/b kubeconfig={}; }}
        server {{ listen {}; proxy_pass u; }} }}",
        kubeconfig.display(),
        Reserved::any().addr
    );
    let conf = write_conf(dir.path(), &text);
    let open_to_all = fs::Permissions::from_mode(0o644);
    for unreadable in [&kubeconfig, &authority] {
        for arguments in [&["-t"][..], &[]] {
            let (code, stderr) = run(arguments, &conf);
            assert_eq!(code, Some(1), "{stderr}");
            let named = unreadable.to_str().unwrap();
            assert!(
                stderr.contains(named) && stderr.contains("Permission denied"),
                "{stderr}"
            );
            let fix = format!("as \"{USER}\"");
            assert!(stderr.contains(&fix), "{stderr}");
        }
        fs::set_permissions(unreadable, open_to_all.clone()).unwrap();
    }
    let (code, stderr) = run(&["-t"], &conf);
    assert_eq!(code, Some(0), "{stderr}");
}

#[tokio::test]
async fn the_superuser_may_stay_what_it_is() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("user root root;", &stream).await;
    assert_eq!(helper(&proxy), None);
    reload(&proxy, "user root root;", &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
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
