//! Several clusters that feed one Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use kube_lb::config::Config;
use kube_lb::controller::{Permission, REMOTE_PERMISSIONS};
use serde_json::{Value, json};
use test_support::deadline::{eventually, poll_until, within};
use test_support::kubernetes::objects::node;
use test_support::kubernetes::{ApiServer, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::permissions::asked;
use crate::support::{
    Running, Session, World, ask, ask_until, echo, free_port, global, pods, put_endpoints,
    put_served, service,
};

/// The primary cluster `west` and the cluster `east`.
pub(crate) struct TwoClusters {
    pub(crate) west: World,
    pub(crate) east: ApiServer,
    east_dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl TwoClusters {
    pub(crate) async fn start(number: u8) -> Self {
        let east = ApiServer::start().await;
        let east_dir = tempfile::tempdir().unwrap();
        east.kubeconfig(east_dir.path(), "", "token: secret");
        Self {
            west: World::start(number).await,
            east,
            east_dir,
            port: free_port().await,
        }
    }

    /// A configuration with these fields of the clusters. `east`: `None` for a configuration without it.
    pub(crate) fn config_text(&self, west: &str, east: Option<&str>, more: &str) -> String {
        let place = |name: &str, dir: &std::path::Path, fields: &str| {
            let path = dir.join("kubeconfig");
            format!(
                "  - {{name: {name}, kubeconfig: {}{fields}}}\n",
                path.display()
            )
        };
        let mut clusters = place("west", self.west.dir.path(), west);
        if let Some(fields) = east {
            clusters += &place("east", self.east_dir.path(), fields);
        }
        let (first, last) = (self.west.ip(1), self.west.ip(20));
        format!(
            "clusters:\n{clusters}pools: [{{name: edge, addresses: [{first}-{last}]}}]\nworkers: 1\nstale_after: 500ms\n{more}"
        )
    }

    fn config(&self, west: &str, east: Option<&str>) -> Config {
        Config::parse(&self.config_text(west, east, "")).unwrap()
    }

    async fn run(&self, west: &str, east: &str) -> Running {
        Running::start(self.config(west, Some(east))).await
    }

    /// Creates the Service `web` in both clusters, with these pods.
    pub(crate) fn serve(&self, west: &[SocketAddr], east: &[SocketAddr]) {
        put_served(&self.west.api, global(service("web", &[self.port])), west);
        put_served(&self.east, global(inner(&[self.port])), east);
    }

    pub(crate) fn of_west(&self, pods: &[SocketAddr]) {
        put_endpoints(&self.west.api, "web", &[self.port], pods);
    }

    pub(crate) fn of_east(&self, pods: &[SocketAddr]) {
        put_endpoints(&self.east, "web", &[self.port], pods);
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (self.west.ip(1), self.port).into()
    }

    pub(crate) async fn until(&self, answer: &str) {
        let what = format!("the answer {answer}");
        ask_until(&what, self.addr(), |found| found == Some(answer)).await;
    }

    /// Waits until the condition about the clusters contains `text`.
    pub(crate) async fn joined(&self, status: &str, text: &str) {
        eventually(&format!("{status}: {text}"), || {
            let condition = self.west.condition("web", "ClustersJoined");
            condition.is_some_and(|condition| {
                condition["status"] == status
                    && condition["message"].as_str().unwrap().contains(text)
            })
        })
        .await;
    }

    /// Asks until all of `names` have answered.
    async fn all_of(&self, names: &[&str]) {
        let mut seen = BTreeSet::new();
        within("answers of all pods", async {
            while seen.len() < names.len() {
                seen.extend(
                    ask(self.addr())
                        .await
                        .filter(|name| names.contains(&name.as_str())),
                );
            }
        })
        .await;
    }

    /// Asks until ten answers in a row are not of `east`.
    async fn only_west(&self) {
        poll_until("only answers of west", || async {
            (!answers(self.addr(), 10).await.contains_key("east")).then_some(())
        })
        .await;
    }
}

/// The Service `web` of a cluster that serves it to its own pods only.
fn inner(ports: &[u16]) -> Value {
    let mut inner = service("web", ports);
    let spec = inner["spec"].as_object_mut().unwrap();
    spec.insert("type".into(), "ClusterIP".into());
    spec.remove("loadBalancerClass");
    inner
}

/// How often each name answers.
async fn answers(addr: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        *answers.entry(ask(addr).await.unwrap()).or_default() += 1;
    }
    answers
}

#[tokio::test]
async fn a_cluster_of_a_later_priority_serves_while_the_first_has_no_ready_endpoint() {
    let both = TwoClusters::start(90).await;
    let west = pods([127, 2, 90], &["west"]).await;
    let east = pods([127, 3, 90], &["east"]).await;
    both.serve(&west, &east);
    let _running = both.run("", ", priority: 1").await;
    both.joined("True", "east").await;
    for _ in 0..20 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("west"));
    }
    both.of_west(&[]);
    both.until("east").await;
    for _ in 0..20 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("east"));
    }
    both.of_west(&west);
    both.until("west").await;
    for _ in 0..20 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("west"));
    }
    // The Service of the primary cluster needs no endpoints at all.
    both.west.api.delete("endpointslices", "default", "web-1");
    both.until("east").await;
    both.joined("False", "west, port").await;
    assert_eq!(
        both.west.condition("web", "BackendsResolved").unwrap()["status"],
        "True"
    );
    // The other cluster is read only, and with no more rights than the manifest gives.
    let permitted = |request: &test_support::kubernetes::Request| {
        let (group, resource, verb) = asked(request);
        REMOTE_PERMISSIONS.iter().any(|permission: &Permission| {
            permission.group == group
                && permission.resource == resource
                && permission.verbs.contains(&verb.as_str())
        })
    };
    assert!(both.east.requests().iter().all(permitted));
    assert_eq!(
        both.east.find("services", "default", "web").unwrap()["status"],
        json!({"loadBalancer": {}})
    );
}

#[tokio::test]
async fn weights_divide_connections_between_clusters_exactly_whatever_their_pods() {
    let both = TwoClusters::start(91).await;
    let west = pods([127, 2, 91], &["w1", "w2"]).await;
    let east = pods([127, 3, 91], &["e1", "e2", "e3", "e4", "e5"]).await;
    both.serve(&west, &east);
    let _running = both.run(", weight: 70", ", weight: 30").await;
    let all = ["w1", "w2", "e1", "e2", "e3", "e4", "e5"];
    both.all_of(&all).await;
    let found = answers(both.addr(), 500).await;
    let expected = all.map(|name| {
        (
            name.to_owned(),
            if name.starts_with('w') { 175 } else { 30 },
        )
    });
    assert_eq!(found, expected.into());
    // With one pod less the cluster has the same share.
    both.of_east(&east[..3]);
    poll_until("three pods", || async {
        let found = answers(both.addr(), 50).await;
        (!found.contains_key("e4") && !found.contains_key("e5")).then_some(())
    })
    .await;
    let found = answers(both.addr(), 500).await;
    let of_east: usize = found
        .iter()
        .filter(|(name, _)| name.starts_with('e'))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(of_east, 150, "{found:?}");
}

#[tokio::test]
async fn an_api_server_that_is_away_and_a_cluster_that_is_removed_touch_no_session() {
    let mut both = TwoClusters::start(92).await;
    let west = pods([127, 2, 92], &["west"]).await;
    let east = echo([127, 3, 92, 1]).await;
    both.serve(&[], &[east]);
    let running = both.run("", "").await;
    both.joined("True", "east").await;
    let mut session = Session::open(both.addr()).await;
    session.check().await;
    // The API server of the other cluster is away: its last endpoints go on, and the status says so.
    both.east.kill().await;
    both.joined(
        "False",
        "east: its API server cannot be followed, and its last endpoints are used, as of 2",
    )
    .await;
    session.check().await;
    let mut new = Session::open(both.addr()).await;
    new.check().await;
    both.east.restart().await;
    both.joined("True", "east").await;
    session.check().await;
    // The cluster is taken out of the settings: it gets nothing new.
    both.of_west(&west);
    running.settings.send(both.config("", None)).await.unwrap();
    within("only answers of west", async {
        let mut row = 0;
        while row < 10 {
            let mut stream = TcpStream::connect(both.addr()).await.unwrap();
            stream.write_all(b"?").await.unwrap();
            let first = stream.read_u8().await.unwrap();
            row = if first == b'w' { row + 1 } else { 0 };
        }
    })
    .await;
    eventually("no condition about clusters", || {
        both.west.condition("web", "ClustersJoined").is_none()
    })
    .await;
    session.check().await;
    new.check().await;
    // And in again, as the only one with endpoints.
    both.of_west(&[]);
    running
        .settings
        .send(both.config("", Some(", priority: 3")))
        .await
        .unwrap();
    both.joined("True", "east").await;
    poll_until("a new session of east", || async {
        let mut stream = TcpStream::connect(both.addr()).await.unwrap();
        stream.write_all(b"x").await.ok()?;
        stream.read_u8().await.ok().filter(|echoed| *echoed == b'x')
    })
    .await;
    session.check().await;
}

#[tokio::test]
async fn a_cluster_that_never_answers_keeps_nothing_from_being_served() {
    let mut both = TwoClusters::start(93).await;
    let west = pods([127, 2, 93], &["west"]).await;
    let east = pods([127, 3, 93], &["east"]).await;
    both.serve(&west, &east);
    both.east.kill().await;
    let _running = both.run("", "").await;
    both.until("west").await;
    both.joined("False", "east: its API server has not answered yet")
        .await;
    for _ in 0..10 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("west"));
    }
    both.east.restart().await;
    both.until("east").await;
    both.joined("True", "east").await;
}

#[tokio::test]
async fn a_cluster_that_is_restored_from_a_backup_is_followed() {
    let mut both = TwoClusters::start(94).await;
    let east = pods([127, 3, 94], &["old", "new"]).await;
    both.serve(&[], &east[..1]);
    let _running = both.run("", "").await;
    both.until("old").await;
    let backup = both.east.backup();
    for _ in 0..20 {
        both.of_east(&east[1..]);
    }
    both.until("new").await;
    // It comes back with an earlier version than the one that was seen.
    both.east.kill().await;
    both.east.restore(&backup);
    both.east.restart().await;
    both.until("old").await;
    for _ in 0..10 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("old"));
    }
    // An empty cluster is no reason to drop endpoints at once.
    both.east.fault(Fault::EmptyLists);
    let lists = both.east.lists("endpointslices");
    eventually("lists", || both.east.lists("endpointslices") > lists).await;
    assert_eq!(ask(both.addr()).await.as_deref(), Some("old"));
}

#[tokio::test]
async fn both_services_need_the_label_and_the_port() {
    let both = TwoClusters::start(95).await;
    let west = pods([127, 2, 95], &["west"]).await;
    let east = pods([127, 3, 95], &["east"]).await;
    both.serve(&west, &east);
    let label = |api: &ApiServer, value: &str| {
        for (resource, name) in [("services", "web"), ("endpointslices", "web-1")] {
            api.change(resource, "default", name, |object| {
                object["metadata"]["labels"][kube_lb::names::GLOBAL] = json!(value);
            });
        }
    };
    let _running = both.run("", "").await;
    both.until("east").await;
    both.until("west").await;
    // Without the label in one cluster or the other, the other cluster adds nothing.
    for api in [&both.east, &both.west.api] {
        label(api, "false");
        both.only_west().await;
        label(api, "true");
        both.until("east").await;
    }
    // A Service with other ports.
    both.east.change("services", "default", "web", |service| {
        service["spec"]["ports"][0]["port"] = json!(1);
    });
    both.joined(
        "False",
        &format!("east, port {}: the Service has no TCP port", both.port),
    )
    .await;
    both.only_west().await;
}

#[tokio::test]
async fn a_hostile_cluster_takes_no_addresses_of_the_primary_one_and_reaches_none_outside_of_its_networks()
 {
    let both = TwoClusters::start(96).await;
    let west = pods([127, 2, 96], &["west"]).await;
    let east = pods([127, 3, 96], &["east"]).await;
    let stolen = pods([127, 4, 96], &["outside"]).await;
    both.serve(&west, &east);
    // Slices with endpoints of the primary cluster, outside of the networks, and with names of a megabyte.
    let mut slice = both.east.get("endpointslices", "default", "web-1");
    let port = slice["ports"][0]["name"].clone();
    for (number, pod) in west.iter().chain(&stolen).enumerate() {
        slice["metadata"]["name"] = json!(format!("stolen-{number}"));
        slice["ports"] = json!([{"name": port, "port": pod.port(), "protocol": "TCP"}]);
        slice["endpoints"] = json!([{"addresses": [pod.ip()], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "x".repeat(1 << 20)}}]);
        both.east.put("endpointslices", slice.clone());
    }
    // Services that would ask for addresses if they were of the primary cluster.
    let thief = global(service("thief", &[both.port]));
    put_served(&both.east, thief, &east);
    let mut odd = global(service("odd", &[both.port]));
    odd["spec"]["ports"] = json!([{"port": -1}, {"port": 99999}, {"name": null, "port": 0}]);
    odd["metadata"]["annotations"] = json!({"kube-lb.internal/policy": "y".repeat(1 << 20)});
    both.east.put("services", odd);
    both.east.put("nodes", node("one", "10.0.0.1"));
    let _running = both
        .run("", ", priority: 1, networks: [127.2.0.0/15]")
        .await;
    both.joined(
        "False",
        "left out: 1 endpoints outside of its networks, 1 with the address",
    )
    .await;
    // The endpoint of the primary cluster keeps its priority.
    for _ in 0..20 {
        assert_eq!(ask(both.addr()).await.as_deref(), Some("west"));
    }
    both.of_west(&[]);
    // Now the address is only in the other cluster: whoever may write its slices decides that.
    both.until("east").await;
    let found = answers(both.addr(), 20).await;
    assert!(!found.contains_key("outside"), "{found:?}");
    assert!(both.west.api.find("services", "default", "thief").is_none());
    // An object that is no object at all: what was known stays.
    both.of_west(&west);
    both.until("west").await;
    both.east.put(
        "services",
        json!({"metadata": {"name": "bad", "namespace": "default",
        "labels": {kube_lb::names::GLOBAL: "true"}}, "spec": "text"}),
    );
    both.joined("False", "east: its API server cannot be followed")
        .await;
    both.of_west(&[]);
    both.until("east").await;
}

#[tokio::test]
async fn nodes_of_the_other_cluster_are_reached_at_its_node_port() {
    let both = TwoClusters::start(97).await;
    let nodes = pods([127, 3, 97], &["east"]).await;
    both.serve(&[], &[]);
    both.west
        .api
        .change("services", "default", "web", |service| {
            service["metadata"]["annotations"] = json!({"kube-lb.internal/backends": "nodes"});
        });
    both.east.change("services", "default", "web", |service| {
        service["spec"]["type"] = json!("NodePort");
        service["spec"]["ports"][0]["nodePort"] = json!(nodes[0].port());
    });
    both.east
        .put("nodes", node("one", &nodes[0].ip().to_string()));
    let _running = both.run("", "").await;
    both.until("east").await;
}
