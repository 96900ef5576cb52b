//! A driver that takes over reuses the backends of a source only if its identity is equal.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lb_discovery::kubernetes::{Cluster, EndpointSlices, Families, NodeAddress, NodePort, Pods};
use lb_discovery::{Driver, DriverConfig, Source};

use crate::chaos::two;
use crate::reach::proxy;
use crate::sources::{run, until};
use test_support::discovery::RunningDriver;
use test_support::kubernetes::ApiServer;
use test_support::kubernetes::objects::inner_service;

const TWO: [&str; 2] = ["10.0.0.1:8080", "10.0.0.2:8080"];

async fn server() -> ApiServer {
    let server = ApiServer::start().await;
    server.put("services", inner_service());
    server.put("endpointslices", two());
    server
}

fn slices(kubeconfig: &Path) -> EndpointSlices {
    let cluster = Cluster::kubeconfig(kubeconfig);
    EndpointSlices::try_new(cluster, "default", "echo").unwrap()
}

/// How many backends a driver of `new` begins with when it takes over from one that followed `old`.
async fn taken_over(old: RunningDriver, new: impl Source) -> usize {
    let old = old.stop().await;
    let (mut driver, handle) = Driver::new(vec![Arc::new(new)], DriverConfig::new());
    driver.resume(&old);
    handle.status().sources[0].backends
}

#[tokio::test]
async fn another_cluster_or_port_starts_empty() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    let a = server.kubeconfig(&a, "", "");
    // The same server by another file: files are not compared by content.
    let b = server.kubeconfig(&b, "", "");
    let others: [(EndpointSlices, usize); 6] = [
        (slices(&a), 2),
        (slices(&b), 0),
        (slices(&a).port(80), 0),
        (slices(&a).port("echo"), 0),
        (slices(&a).families(Families::Ipv6), 0),
        (
            EndpointSlices::try_new(Cluster::kubeconfig(&a).context("test"), "default", "echo")
                .unwrap(),
            0,
        ),
    ];
    for (number, (other, kept)) in others.into_iter().enumerate() {
        let mut running = run(slices(&a));
        until(&mut running, &TWO).await;
        assert_eq!(taken_over(running, other).await, kept, "{number}");
    }
}

#[tokio::test]
async fn a_kubeconfig_with_another_server_is_another_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (server().await, ApiServer::start().await);
    let path = one.kubeconfig(dir.path(), "", "");
    let mut running = run(slices(&path));
    until(&mut running, &TWO).await;
    other.kubeconfig(dir.path(), "", "token: new");
    assert_eq!(taken_over(running, slices(&path)).await, 0);

    // Other credentials are not another cluster.
    let path = one.kubeconfig(dir.path(), "", "");
    let mut running = run(slices(&path));
    until(&mut running, &TWO).await;
    one.kubeconfig(dir.path(), "", "token: new");
    assert_eq!(taken_over(running, slices(&path)).await, 2);
}

#[tokio::test]
async fn another_proxy_or_server_name_is_another_cluster_and_other_credentials_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let (one, other) = (proxy().await.0, proxy().await.0);
    let by = |addr, password| format!("proxy-url: \"http://user:{password}@{addr}\"");
    let before = by(one, "pa%40ss");
    for (after, kept) in [
        (before.clone(), 2),
        (by(one, "another"), 2),
        (by(other, "pa%40ss"), 0),
        (String::new(), 0),
        (format!("{before}, tls-server-name: api.example.com"), 0),
    ] {
        let path = server.kubeconfig(dir.path(), &before, "");
        let mut running = run(slices(&path));
        until(&mut running, &TWO).await;
        server.kubeconfig(dir.path(), &after, "");
        let new = slices(&path);
        assert!(!new.identity().contains("user"), "{}", new.identity());
        assert_eq!(taken_over(running, new).await, kept, "{after}");
    }
}

#[tokio::test]
async fn the_identity_has_the_last_destination() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, other) = (server().await, server().await);
    let path = one.kubeconfig(dir.path(), "", "");
    let mut running = run(slices(&path));
    until(&mut running, &TWO).await;
    // The source moves to the new server when the old one ends.
    other.kubeconfig(dir.path(), "", "");
    one.kill().await;
    other.delete("endpointslices", "default", "echo-a");
    other.put("endpointslices", {
        let mut moved = two();
        moved["endpoints"][0]["addresses"][0] = "10.0.0.7".into();
        moved
    });
    until(&mut running, &["10.0.0.2:8080", "10.0.0.7:8080"]).await;
    assert_eq!(taken_over(running, slices(&path)).await, 2);
}

#[test]
fn every_option_is_part_of_the_identity() {
    let cluster = || Cluster::kubeconfig("/nowhere/kubeconfig");
    let nodes = || NodePort::try_new(cluster(), "default", "echo").unwrap();
    let pods = |name, port: u16| Pods::try_daemon_set(cluster(), "default", name, port).unwrap();
    let of_deployment = Pods::try_deployment(cluster(), "default", "echo", 446).unwrap();
    let sources: Vec<Arc<dyn Source>> = vec![
        Arc::new(slices(Path::new("/nowhere/kubeconfig"))),
        Arc::new(EndpointSlices::try_new(cluster(), "other", "echo").unwrap()),
        Arc::new(EndpointSlices::try_new(cluster(), "default", "other").unwrap()),
        Arc::new(nodes()),
        Arc::new(nodes().port(80)),
        Arc::new(nodes().port("80")),
        Arc::new(nodes().families(Families::PreferIpv6)),
        Arc::new(nodes().addresses([NodeAddress::External])),
        Arc::new(nodes().ready_only(true)),
        Arc::new(pods("echo", 446)),
        Arc::new(pods("echo", 447)),
        Arc::new(pods("other", 446)),
        Arc::new(pods("echo", 446).families(Families::Ipv6)),
        Arc::new(of_deployment),
        Arc::new(Pods::try_selected(cluster(), "default", "app=echo", 446).unwrap()),
        Arc::new(
            Pods::try_selected(
                Cluster::kubeconfig("/other/kubeconfig"),
                "default",
                "app=echo",
                446,
            )
            .unwrap(),
        ),
        Arc::new(Pods::try_selected(Cluster::in_cluster(), "default", "app=echo", 446).unwrap()),
    ];
    let mut identities: Vec<_> = sources.iter().map(|source| source.identity()).collect();
    assert_eq!(
        identities[0],
        slices(Path::new("/nowhere/kubeconfig")).identity()
    );
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), sources.len());
}
