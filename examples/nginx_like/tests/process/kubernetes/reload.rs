//! Reloads that change the cluster, and a kubeconfig that is wrong at the start.

use test_support::kubernetes::ApiServer;

use super::{Cluster, stream, until, until_refused, until_served};
use crate::proxy::write_conf;

#[tokio::test]
async fn a_reload_that_changes_the_cluster_does_not_keep_the_old_backends() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    // A cluster that does not answer, at first in another file of the same name.
    let mut other = ApiServer::start().await;
    other.kill().await;
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = other.kubeconfig(dir.path(), "", "");
    let here = cluster.kubeconfig();
    let directive = "kubernetes default/echo";
    let proxy = cluster.proxy(directive).await;
    until(&proxy, &["node1", "node2"]).await;
    proxy.reload("", &stream(directive, &elsewhere)).await;
    until_refused(&proxy).await;
    proxy.reload("", &stream(directive, &here)).await;
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
    // Then by a proxy, which decides too what the address leads to.
    let proxied = format!("proxy-url: \"{}\"", other.url());
    cluster.api.kubeconfig(cluster.dir.path(), &proxied, "");
    proxy.reload("", &stream(directive, &here)).await;
    until_refused(&proxy).await;
    cluster.kubeconfig();
    proxy.reload("", &stream(directive, &here)).await;
    until_served(&proxy).await;
    until(&proxy, &["node1", "node2"]).await;
    // Then in the same file.
    other.kubeconfig(cluster.dir.path(), "", "");
    proxy.reload("", &stream(directive, &here)).await;
    until_refused(&proxy).await;
}

#[tokio::test]
async fn a_reload_that_changes_the_port_does_not_keep_the_old_backends() {
    let mut cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let kubeconfig = cluster.kubeconfig();
    let proxy = cluster.proxy("kubernetes default/echo port=echo").await;
    until(&proxy, &["node1", "node2"]).await;
    cluster.api.kill().await;
    let admin = stream("kubernetes default/echo port=admin", &kubeconfig);
    proxy.reload("", &admin).await;
    until_refused(&proxy).await;
}

#[tokio::test]
async fn a_wrong_kubeconfig_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let text = format!(
        "stream {{\n upstream u {{\n kubernetes default/echo kubeconfig={};\n }}\n \
         server {{ listen 127.0.0.1:1; proxy_pass u; }}\n}}",
        missing.display()
    );
    let conf = write_conf(dir.path(), &text);
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_nginx_like"))
        .args(["-t", "-c"])
        .arg(&conf)
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let what = format!("reading the kubeconfig {}: ", missing.display());
    assert!(stderr.contains(&what), "{stderr}");
    assert!(stderr.contains("No such file"), "{stderr}");
    assert!(
        stderr.contains(&format!(" in {}:3", conf.display())),
        "{stderr}"
    );
    assert!(!output.status.success());
}
