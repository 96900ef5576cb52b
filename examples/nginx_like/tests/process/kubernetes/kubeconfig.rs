//! Kubeconfigs that name other files or a plugin, or that hang.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Output;
use std::thread;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::proxy::{NginxLike, write_conf};
use crate::sockets::{Reserved, eventually, within};
use test_support::kubernetes::{ApiServer, Fault};

fn stream(directive: &str) -> String {
    format!("upstream u {{ {directive}; }} server {{ listen LISTEN; proxy_pass u; }}")
}

/// A kubeconfig for a port at which nothing listens.
fn dead(dir: &Path, addr: &Reserved, user: &str) -> String {
    let path = dir.join("kubeconfig");
    let text = format!(
        "{{current-context: c, clusters: [{{name: k, cluster: {{server: \"http://{}\"}}}}], \
         users: [{{name: u, user: {{{user}}}}}], \
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]}}",
        addr.addr
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The output of `-t` without a `kubeconfig=`, with these files in the environment of a pod.
async fn tested(dir: &Path, files: &OsStr) -> Output {
    let text = stream("kubernetes default/echo").replace("LISTEN", "127.0.0.1:1");
    let conf = write_conf(dir, &format!("events {{}} stream {{ {text} }}"));
    Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(["-t", "-c"])
        .arg(conf)
        .env("KUBECONFIG", files)
        .env("HOME", dir)
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", "1")
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn files_of_the_environment_count_before_the_pod() {
    let dir = tempfile::tempdir().unwrap();
    let api = Reserved::any();
    let file = dead(dir.path(), &api, "");
    let missing = dir.path().join("missing").display().to_string();
    let output = tested(dir.path(), format!("{missing}:{file}").as_ref()).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");

    let output = tested(dir.path(), missing.as_ref()).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    let looked = format!("(looked for: {missing}), and the pod has no service account token");
    assert!(stderr.contains(&looked), "{stderr}");

    let home = dir.path().join(".kube");
    fs::create_dir(&home).unwrap();
    fs::copy(&file, home.join("config")).unwrap();
    let output = tested(dir.path(), "".as_ref()).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

#[tokio::test]
async fn a_plugin_that_hangs_ends_with_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("plugin.sh");
    let (new, pid) = (dir.path().join("new"), dir.path().join("pid"));
    let text = format!(
        "echo $$ > {0}; mv {0} {1}; exec sleep 1000",
        new.display(),
        pid.display()
    );
    fs::write(&script, text).unwrap();
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [\"{}\"]}}",
        script.display()
    );
    let api = Reserved::any();
    let file = dead(dir.path(), &api, &user);
    let proxy = NginxLike::start(
        "",
        &stream(&format!("kubernetes default/echo kubeconfig={file}")),
    )
    .await;
    eventually("the plugin", || pid.exists()).await;
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    let pid = fs::read_to_string(pid).unwrap();
    let status = format!("/proc/{}/status", pid.trim());
    let is_running = || fs::read_to_string(&status).is_ok_and(|s| !s.contains("State:\tZ"));
    eventually("the end of the plugin", || !is_running()).await;
}

#[tokio::test]
async fn the_process_ends_while_a_file_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let api = Reserved::any();
    let file = dead(dir.path(), &api, "");
    let proxy = NginxLike::start(
        "",
        &stream(&format!("kubernetes default/echo kubeconfig={file}")),
    )
    .await;
    proxy.logged("Discovery failed").await;
    // Reading a pipe that is open and empty hangs, as a file system may.
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
    assert!(made.success());
    fs::rename(&pipe, &file).unwrap();
    // Opening it waits for a reader. Without one the thread is abandoned.
    let (opened, writer) = oneshot::channel();
    thread::spawn(move || opened.send(OpenOptions::new().write(true).open(file)));
    let writer = within("a reader of the kubeconfig", writer).await.unwrap();
    let writer = writer.unwrap();
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
    drop(writer);
}

#[tokio::test]
async fn an_api_that_fails_is_one_error_with_name_address_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    let api = ApiServer::start().await;
    api.fault(Fault::Status(500));
    let file = api.kubeconfig(dir.path(), "", "");
    let directive = format!("kubernetes default/echo kubeconfig={}", file.display());
    let proxy = NginxLike::start("", &stream(&directive)).await;
    eventually("four attempts", || api.requests().len() >= 4).await;
    let log = proxy.log();
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" [error] "))
        .collect();
    let [line] = errors[..] else {
        panic!("{errors:#?}")
    };
    for part in [
        "kubernetes:default/echo@kubeconfig",
        &api.url(),
        "500: set to fail",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!log.contains("failed with"), "{log}");
}
