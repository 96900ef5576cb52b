//! An API server restored from a backup of etcd is at an earlier version than before.

use std::time::Duration;

use lb_discovery::kubernetes::{Cluster, EndpointSlices};

use crate::sources::{Api, run, shown, until};
use test_support::deadline::eventually;
use test_support::discovery::RunningDriver;
use test_support::kubernetes::objects::{endpoint, inner_service, node, slice};
use test_support::kubernetes::{ApiServer, Backup};

const OLD: &str = "10.0.0.1:8080";
const NEW: &str = "10.0.0.2:8080";

fn put(server: &ApiServer, ip: &str) {
    server.put("endpointslices", slice("echo-a", &[endpoint(ip, ip)]));
}

/// Changes an object that no source here follows.
fn age(server: &ApiServer, versions: usize) {
    for _ in 0..versions {
        server.put("nodes", node("node-1", "10.1.0.1"));
    }
}

fn source(cluster: Cluster) -> EndpointSlices {
    EndpointSlices::try_new(cluster, "default", "echo").unwrap()
}

/// A server that was at OLD and is ten versions later at NEW, its backup from OLD, and a driver that has NEW.
async fn started(cluster: impl FnOnce(Cluster) -> Cluster) -> (Api, Backup, RunningDriver) {
    let api = Api::start().await;
    put(&api.server, "10.0.0.1");
    let backup = api.server.backup();
    age(&api.server, 9);
    put(&api.server, "10.0.0.2");
    let mut running = run(source(cluster(api.cluster())));
    until(&mut running, &[NEW]).await;
    eventually("the watch", || api.server.watches("endpointslices") == 1).await;
    (api, backup, running)
}

#[tokio::test]
async fn silence_leads_to_a_list() {
    let (api, backup, mut running) = started(|c| c.watch_timeout(Duration::from_secs(1))).await;
    api.server.restore(&backup);
    until(&mut running, &[OLD]).await;
    // Later changes are followed.
    put(&api.server, "10.0.0.3");
    until(&mut running, &["10.0.0.3:8080"]).await;
    assert_eq!(running.handle.status().sources[0].failures, 0);
}

#[tokio::test]
async fn bookmarks_do_not_hide_a_rollback() {
    let api = Api::start().await;
    api.server.bookmark_every(Duration::from_millis(50));
    put(&api.server, "10.0.0.1");
    let backup = api.server.backup();
    age(&api.server, 9);
    put(&api.server, "10.0.0.2");
    let cluster = api.cluster().watch_timeout(Duration::from_secs(1));
    let mut running = run(source(cluster));
    until(&mut running, &[NEW]).await;
    api.server.restore(&backup);
    until(&mut running, &[OLD]).await;
}

#[tokio::test]
async fn a_list_detects_a_server_that_has_overtaken_the_known_version() {
    let with = |cluster: Cluster| {
        let cluster = cluster.watch_timeout(Duration::from_secs(1));
        cluster.relist_interval(Duration::from_secs(3))
    };
    let (api, backup, mut running) = started(with).await;
    // The server keeps sending bookmarks, so it is not silent.
    api.server.bookmark_every(Duration::from_millis(50));
    api.server.restore(&backup);
    age(&api.server, 30);
    let age = async {
        loop {
            age(&api.server, 1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        never = age => never,
        _ = until(&mut running, &[OLD]) => {}
    }
}

#[tokio::test]
async fn an_event_of_an_earlier_version_is_not_applied() {
    let (api, backup, mut running) = started(|cluster| cluster).await;
    // The watch continues, as on a server that restores its storage.
    api.server.restore_under_watch(&backup);
    put(&api.server, "10.0.0.3");
    until(&mut running, &["10.0.0.3:8080"]).await;
    assert_eq!(
        api.server.lists("endpointslices"),
        2,
        "all were listed again"
    );
    assert_eq!(running.handle.status().sources[0].failures, 0);
}

#[tokio::test]
async fn a_quiet_cluster_is_listed_no_more_often_than_watched() {
    let (api, _, mut running) = started(|c| c.watch_timeout(Duration::from_secs(1))).await;
    eventually("the watch", || api.server.watches("endpointslices") >= 4).await;
    let (lists, watches) = (
        api.server.lists("endpointslices"),
        api.server.watches("endpointslices"),
    );
    assert!(
        (2..=watches + 1).contains(&lists),
        "{lists} lists, {watches} watches"
    );
    // A list without a difference changes nothing.
    put(&api.server, "10.0.0.3");
    assert_eq!(shown(&running.next().await), ["10.0.0.3:8080"]);
    let of_etcd = |query: &str| !query.contains("resourceVersion");
    let requests = api.server.requests();
    let lists = requests.iter().filter(|request| !request.is_watch());
    assert!(lists.into_iter().all(|request| of_etcd(&request.query)));
}

#[tokio::test]
async fn a_service_lost_in_a_restore_is_confirmed_first() {
    let api = Api::start().await;
    api.server.delete("services", "default", "echo");
    let backup = api.server.backup();
    api.server.put("services", inner_service());
    put(&api.server, "10.0.0.2");
    let cluster = api.cluster().watch_timeout(Duration::from_secs(1));
    let mut running = run(source(cluster));
    until(&mut running, &[NEW]).await;
    api.server.restore(&backup);
    let last = || running.handle.status().sources[0].last_error.clone();
    eventually("the error", || {
        last().is_some_and(|error| error.contains("the list is empty, but had 1"))
    })
    .await;
    until::<&str>(&mut running, &[]).await;
}
