//! The rights of the process and its threads.

use std::fs;
use std::net::Ipv4Addr;
#[cfg(feature = "kubernetes")]
use std::os::unix::fs::PermissionsExt;

use super::{USER, field, helper, is_root, node, uid};
#[cfg(feature = "kubernetes")]
use super::{run, shared_dir};
use crate::proxy::NginxLike;
#[cfg(feature = "kubernetes")]
use crate::proxy::write_conf;
use crate::sockets::{Reserved, ask, eventually};

/// `CAP_NET_BIND_SERVICE` alone, as the kernel shows it.
const BIND: &str = "0000000000000400";
const NONE: &str = "0000000000000000";

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
    let tasks = format!("/proc/{}/task", proxy.id());
    // A thread has the name of its parent until it runs.
    eventually("the workers' names", || {
        let tasks = fs::read_dir(&tasks).unwrap().flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        let names: Vec<_> = names.collect();
        let is_there = |worker| names.iter().any(|name| name.trim_end() == worker);
        ["lb-worker-0", "lb-worker-1"].into_iter().all(is_there)
    })
    .await;
    for task in fs::read_dir(&tasks).unwrap() {
        // A thread that writes a log ends when it has nothing to write.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            continue;
        };
        let name = field(&status, "Name:")[0].to_owned();
        for ids in ["Uid:", "Gid:"] {
            let ids = field(&status, ids);
            assert!(ids.iter().all(|id| *id != "0"), "{name}: {ids:?}");
        }
        assert_eq!(field(&status, "Uid:"), [&*uid; 4], "{name}");
        for set in ["CapPrm:", "CapEff:"] {
            let kept = field(&status, set);
            // A thread that writes a log may have started before the switch.
            let has_none = name == "log" && kept == [NONE];
            assert!(has_none || kept == [BIND], "{name}: {set} {kept:?}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(&status, set), [NONE], "{name}: {set}");
        }
    }
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
async fn a_user_that_is_the_superuser_needs_no_helper() {
    if !is_root() {
        return;
    }
    let (_node, stream) = node().await;
    let proxy = NginxLike::start("user root root;", &stream).await;
    assert_eq!(helper(&proxy), None);
    proxy.reload("user root root;", &stream).await;
    assert_eq!(ask(proxy.addr).await.unwrap(), "node");
}
