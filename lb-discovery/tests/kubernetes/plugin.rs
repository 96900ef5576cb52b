//! Exec plugins.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_discovery::DiscoveryError;
use lb_discovery::kubernetes::{Cluster, EndpointSlices};
use serde_json::{Value, json};

use crate::cluster::{Authority, follow, one, server, two};
use crate::sources::{run, until, until_error};
use test_support::deadline::eventually;
use test_support::kubernetes::{ApiServer, Request};

const VERSION: &str = "client.authentication.k8s.io/v1";

/// A kubeconfig with a plugin that runs `script`.
fn kubeconfig(server: &ApiServer, dir: &Path, cluster: &str, script: &str) -> PathBuf {
    let file = dir.join("plugin.sh");
    // Renamed, because a shell may be reading the old one.
    let new = dir.join("plugin.new");
    fs::write(&new, script).unwrap();
    fs::rename(new, &file).unwrap();
    let user = format!(
        "exec: {{apiVersion: {VERSION}, interactiveMode: Never, provideClusterInfo: true, \
         command: sh, args: [\"{}\"], env: [{{name: DIR, value: \"{}\"}}]}}",
        file.display(),
        dir.display()
    );
    server.kubeconfig(dir, cluster, &user)
}

/// A script that answers with `status`.
fn answering(status: &Value) -> String {
    let credential = json!({"apiVersion": VERSION, "kind": "ExecCredential", "status": status});
    format!("cat <<'END'\n{credential}\nEND\n")
}

/// How many requests to list or to watch EndpointSlices there were.
fn requests(server: &ApiServer, watches: bool) -> usize {
    let requests = server.requests();
    let slices = requests
        .iter()
        .filter(|r| r.path.ends_with("/endpointslices"));
    slices.filter(|r| r.is_watch() == watches).count()
}

#[tokio::test]
async fn a_plugin_with_a_token_receives_the_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("given");
    let script = answering(&json!({"token": "given"}));
    let script = format!("printf %s \"$KUBERNETES_EXEC_INFO\" > \"$DIR/info\"\n{script}");
    let mut running = follow(&kubeconfig(&server, dir.path(), "", &script));
    until(&mut running, &["10.0.0.1:8080"]).await;
    let info = fs::read(dir.path().join("info")).unwrap();
    let info: Value = serde_json::from_slice(&info).unwrap();
    let spec = json!({"interactive": false, "cluster": {"server": server.url()}});
    assert_eq!(
        info,
        json!({"apiVersion": VERSION, "kind": "ExecCredential", "spec": spec})
    );
}

/// Whether a process runs, as opposed to having ended or waiting to be reaped.
fn is_running(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test]
async fn a_plugin_that_blocks_is_killed_with_its_children_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("given");
    let script = "sleep 1000 & echo $! >> \"$DIR/pids\"; wait";
    let path = kubeconfig(&server, dir.path(), "", script);
    let cluster = Cluster::kubeconfig(path).plugin_timeout(Duration::from_millis(500));
    let mut running = run(EndpointSlices::try_new(cluster, "default", "echo").unwrap());
    until_error(
        &running,
        "kubeconfig: the exec plugin \"sh\" did not end within 500ms and was killed",
    )
    .await;
    // On a slow machine the first one may have been killed before it started.
    let pids = || fs::read_to_string(dir.path().join("pids")).unwrap_or_default();
    eventually("the pids of both plugins", || pids().contains('\n')).await;
    let pids = pids();
    let first = pids.lines().next().unwrap();
    eventually("the plugin's end", || !is_running(first)).await;
    kubeconfig(
        &server,
        dir.path(),
        "",
        &answering(&json!({"token": "given"})),
    );
    until(&mut running, &["10.0.0.1:8080"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_child_that_keeps_the_output_of_a_plugin_open_is_killed_and_the_answer_counts() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("given");
    let child = "sleep 1000 & echo $! >> \"$DIR/pids\"";
    let script = format!("{child}\n{}", answering(&json!({"token": "given"})));
    let mut running = follow(&kubeconfig(&server, dir.path(), "", &script));
    until(&mut running, &["10.0.0.1:8080"]).await;
    let pids = fs::read_to_string(dir.path().join("pids")).unwrap();
    for pid in pids.lines() {
        eventually("the plugin's end", || !is_running(pid)).await;
    }
    assert_eq!(running.handle.status().sources[0].failures, 0);
    running.stop().await;

    // The output of a failed plugin is reported without waiting for its child.
    let script = format!("{child}\necho log in first >&2; exit 3");
    let running = follow(&kubeconfig(&server, dir.path(), "", &script));
    until_error(&running, "exit status: 3, and said: log in first").await;
    running.stop().await;

    // Without an answer, the child may still write one.
    let path = kubeconfig(&server, dir.path(), "", child);
    let cluster = Cluster::kubeconfig(path).plugin_timeout(Duration::from_millis(500));
    let running = run(EndpointSlices::try_new(cluster, "default", "echo").unwrap());
    until_error(
        &running,
        "the exec plugin \"sh\" ended without an answer, but a process that it started kept its output open",
    )
    .await;
    running.stop().await;
    let pids = fs::read_to_string(dir.path().join("pids")).unwrap();
    for pid in pids.lines() {
        eventually("the plugin's end", || !is_running(pid)).await;
    }
}

#[tokio::test]
async fn a_driver_that_is_stopped_ends_its_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let script = "sleep 1000 & echo $! > \"$DIR/new\"; mv \"$DIR/new\" \"$DIR/pid\"; wait";
    let running = follow(&kubeconfig(&server, dir.path(), "", script));
    let pid = dir.path().join("pid");
    eventually("the plugin's start", || pid.exists()).await;
    running.stop().await;
    let pid = fs::read_to_string(pid).unwrap();
    eventually("the plugin's end", || !is_running(pid.trim())).await;
}

#[tokio::test]
async fn a_token_that_expires_is_replaced_before_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // The server accepts every token.
    let server = server().await;
    let expired = |token| json!({"token": token, "expirationTimestamp": "2020-01-01T00:00:00Z"});
    let counted = |token| format!("echo >> \"$DIR/runs\"\n{}", answering(&expired(token)));
    let path = kubeconfig(&server, dir.path(), "", &counted("first"));
    let mut running = follow(&path);
    until(&mut running, &["10.0.0.1:8080"]).await;
    eventually("the watch", || requests(&server, true) == 1).await;
    kubeconfig(&server, dir.path(), "", &counted("second"));
    let has_second = |request: &Request| request.token.as_deref() == Some("second");
    eventually("the watch", || {
        server.end_watches();
        server.requests().iter().any(has_second)
    })
    .await;
    two(&server);
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
    assert_eq!(running.handle.status().sources[0].failures, 0);
    assert_eq!(requests(&server, false), 1);
    // Not once for each request, although all credentials have expired.
    let runs = fs::read_to_string(dir.path().join("runs")).unwrap();
    assert!(runs.len() < server.requests().len(), "{runs:?}");
}

#[tokio::test]
async fn a_certificate_that_expires_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (servers, old, new) = (Authority::new(), Authority::new(), Authority::new());
    servers.write(dir.path());
    let mut server = ApiServer::with_tls(Some(servers.acceptor_for(&old))).await;
    one(&server);
    let ca = dir.path().join("ca.crt");
    let cluster = format!("certificate-authority: {}", ca.display());
    let signed = |authority: &Authority| {
        let (certificate, key) = authority.sign("lb");
        answering(&json!({
            "clientCertificateData": certificate, "clientKeyData": key,
            "expirationTimestamp": "2020-01-01T00:00:00Z",
        }))
    };
    let mut running = follow(&kubeconfig(&server, dir.path(), &cluster, &signed(&old)));
    until(&mut running, &["10.0.0.1:8080"]).await;
    eventually("the watch", || requests(&server, true) == 1).await;
    // From now on the server accepts only the new certificate. The watch ends with the connection.
    kubeconfig(&server, dir.path(), &cluster, &signed(&new));
    server.kill().await;
    server.set_tls(servers.acceptor_for(&new));
    two(&server);
    server.restart().await;
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}

#[tokio::test]
async fn the_problem_of_a_plugin_is_reported() {
    let server = server().await;
    for (script, problem) in [
        (
            "echo log in first >&2; exit 3".to_owned(),
            "the exec plugin \"sh\" failed with exit status: 3, and said: log in first",
        ),
        ("exit 0".to_owned(), "the exec plugin \"sh\": its answer"),
        (
            answering(&json!({})),
            "its answer has neither a token nor a certificate",
        ),
        (
            answering(&json!({"clientKeyData": "a"})),
            "its answer has only one of certificate and key",
        ),
        (
            "echo '{\"kind\": \"ExecCredential\", \"status\": {\"token\": \"a\"}}'".to_owned(),
            "its answer has the apiVersion \"\" instead of \"client.authentication.k8s.io/v1\"",
        ),
        (
            "head -c 2000000 /dev/zero".to_owned(),
            "it writes 1048576 bytes or more",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let running = follow(&kubeconfig(&server, dir.path(), "", &script));
        until_error(&running, problem).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_plugin_is_searched_in_our_path_and_then_in_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("given");
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let program = bin.join("lb-test-plugin");
    let script = answering(&json!({"token": "given"}));
    // The shell by its path, because the PATH leads to no program.
    let cat = "while read -r line; do printf '%s\\n' \"$line\"; done";
    let script = script.replacen("cat", cat, 1);
    fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let args = dir.path().join("answer.sh");
    fs::write(&args, &script).unwrap();
    for (command, path) in [
        ("lb-test-plugin".to_owned(), bin.display().to_string()),
        // kubectl finds it, although the plugin itself would not.
        ("sh".to_owned(), "/nowhere".to_owned()),
    ] {
        let user = format!(
            "exec: {{apiVersion: {VERSION}, interactiveMode: Never, command: {command}, args: [\"{}\"], \
             env: [{{name: PATH, value: \"{path}\"}}]}}",
            args.display()
        );
        let path = server.kubeconfig(dir.path(), "", &user);
        Cluster::kubeconfig(&path).check().unwrap();
        let mut running = follow(&path);
        until(&mut running, &["10.0.0.1:8080"]).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_used_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    for (exec, problem) in [
        (
            format!(
                "apiVersion: {VERSION}, command: lb-no-such-plugin, installHint: see the manual"
            ),
            "the exec plugin \"lb-no-such-plugin\" does not exist, or is not in the PATH: install it: see the manual",
        ),
        (
            format!("apiVersion: {VERSION}, command: ./lb-no-such-plugin"),
            "does not exist",
        ),
        (
            format!("apiVersion: {VERSION}, command: sh, interactiveMode: Always"),
            "the exec plugin \"sh\" asks at a terminal",
        ),
        (
            "apiVersion: client.authentication.k8s.io/v1alpha1, command: sh".to_owned(),
            "the exec plugin \"sh\" has the apiVersion \"client.authentication.k8s.io/v1alpha1\"",
        ),
        (format!("apiVersion: {VERSION}"), "has no command"),
    ] {
        let path = server.kubeconfig(dir.path(), "", &format!("exec: {{{exec}}}"));
        let error = Cluster::kubeconfig(&path).check().unwrap_err();
        assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        let running = follow(&path);
        until_error(&running, problem).await;
        running.stop().await;
    }
}
