//! A start without API servers, from the state file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kube_lb::config::Config;
use serde_json::{Value, json};
use test_support::deadline::{eventually, poll_until, within};

use crate::several::TwoClusters;
use crate::support::{Running, World, ask, ask_until, free_port, pods};

/// A setting that keeps the state in a file of `world`.
fn state(world: &World) -> (String, PathBuf) {
    let path = world.dir.path().join("state.json");
    let text = format!("state: {{file: {}, interval: 50ms}}\n", path.display());
    (text, path)
}

fn content(path: &std::path::Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whether the file has the status of the Service `name`.
fn has_status(path: &std::path::Path, name: &str) -> bool {
    let Some(content) = content(path) else {
        return false;
    };
    let mut services = content["clusters"][0]["services"]
        .as_array()
        .unwrap()
        .iter();
    services.any(|service| {
        service["metadata"]["name"] == name
            && service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string()
    })
}

fn writes(world: &World) -> usize {
    let requests = world.api.requests();
    requests
        .iter()
        .filter(|request| request.method != "GET")
        .count()
}

#[tokio::test]
async fn a_process_that_starts_while_all_api_servers_are_dead_serves_and_writes_nothing() {
    let mut both = TwoClusters::start(100).await;
    let west = pods([127, 2, 100], &["west", "late"]).await;
    let east = pods([127, 3, 100], &["east"]).await;
    both.serve(&west[..1], &east);
    let (more, path) = state(&both.west);
    let text = both.config_text(", weight: 1", Some(", weight: 1"), &more);
    let config = || Config::parse(&text).unwrap();
    let first = Running::start(config()).await;
    both.joined("True", "east").await;
    eventually("the state of both clusters", || {
        let of_east =
            content(&path).is_some_and(|content| content["clusters"][1]["slices"][0].is_object());
        of_east && has_status(&path, "web")
    })
    .await;
    both.west.api.kill().await;
    both.east.kill().await;
    first.kill().await;
    let before = (writes(&both.west), both.west.service("web"));

    let second = Running::start(config()).await;
    both.until("west").await;
    both.until("east").await;
    let mut count = 0;
    for _ in 0..100 {
        count += usize::from(ask(both.addr()).await.unwrap() == "west");
    }
    assert_eq!(count, 50);
    assert_eq!(before, (writes(&both.west), both.west.service("web")));
    // One API server answers: what it says replaces what was in the file, and the other one is as it was.
    both.west.api.restart().await;
    both.of_west(&west[1..]);
    both.until("late").await;
    both.joined("False", "east: its API server cannot be followed")
        .await;
    let age = both.west.condition("web", "ClustersJoined").unwrap();
    both.until("east").await;
    // The third process knows how old that is, because it was never true again.
    eventually("the late pod in the file", || {
        content(&path).is_some_and(|content| {
            let slices = content["clusters"][0]["slices"].to_string();
            slices.contains(&west[1].to_string())
        })
    })
    .await;
    second.end().await;
    let saved = content(&path).unwrap();
    let as_of = |number: usize| saved["clusters"][number]["as_of"].as_u64().unwrap();
    assert!(as_of(1) < as_of(0), "{saved}");
    let third = Running::start(config()).await;
    both.until("east").await;
    both.joined("False", age["message"].as_str().unwrap()).await;
    both.east.restart().await;
    both.joined("True", "east").await;
    third.end().await;
}

#[tokio::test]
async fn nothing_is_written_before_the_first_answer_even_by_a_leader() {
    let mut world = World::start(101).await;
    let ports = [free_port().await, free_port().await];
    let pods = pods([127, 2, 101], &["a"]).await;
    world.serve("web", &ports[..1], &pods);
    let (more, path) = state(&world);
    let more = format!("{more}lease: {{namespace: kube-lb, duration: 3s}}\n");
    let first = world.run(&more).await;
    eventually("the status in the file", || has_status(&path, "web")).await;
    first.end().await;
    world.api.kill().await;
    // The Lease can be had, and Services cannot be listed.
    world.api.forbid("services");
    world.api.restart().await;
    world.serve("new", &ports[1..], &pods);
    let before = world.api.requests().len();
    let second = world.run(&more).await;
    ask_until(
        "the Service of the file",
        (world.ip(1), ports[0]).into(),
        |answer| answer == Some("a"),
    )
    .await;
    eventually("the Lease", || {
        let lease = world.api.get("leases", "kube-lb", "kube-lb");
        lease["spec"]["holderIdentity"]
            .as_str()
            .is_some_and(|holder| !holder.is_empty())
    })
    .await;
    eventually("refused lists", || world.api.lists("services") > 4).await;
    let requests = world.api.requests();
    let wrote = requests[before..]
        .iter()
        .filter(|request| request.method == "PATCH");
    assert_eq!(wrote.count(), 0);
    assert_eq!(ask((world.ip(1), ports[1]).into()).await, None);
    world.api.permit("services");
    eventually("the new Service", || world.is_served("new")).await;
    second.end().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_ignored_and_replaced() {
    let mut world = World::start(102).await;
    let port = free_port().await;
    world.serve("web", &[port], &pods([127, 2, 102], &["a"]).await);
    let (more, path) = state(&world);
    world.api.kill().await;
    for content in [
        &b"{\"version\":1,\"saved\":0"[..],
        b"{\"version\":2}",
        b"\0",
        b"",
    ] {
        std::fs::write(&path, content).unwrap();
        let running = world.run(&more).await;
        assert_eq!(ask((world.ip(1), port).into()).await, None);
        running.end().await;
        // Nothing is known that would be better than what is there.
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let running = world.run(&more).await;
    world.api.restart().await;
    eventually("the status in the file", || has_status(&path, "web")).await;
    running.end().await;
    // Objects that a hostile hand has put there are checked as those of a server.
    let mut hostile = content(&path).unwrap();
    let service = &mut hostile["clusters"][0]["services"][0];
    service["status"]["loadBalancer"]["ingress"] =
        json!([{"ip": "127.0.0.1", "ports": [{"port": port, "protocol": "TCP"}]}]);
    std::fs::write(&path, hostile.to_string()).unwrap();
    world.api.kill().await;
    let running = world.run(&more).await;
    eventually("the next write", || {
        content(&path).is_some_and(|now| now["saved"] != hostile["saved"])
    })
    .await;
    assert_eq!(ask(([127, 0, 0, 1], port).into()).await, None);
    running.end().await;
}

#[tokio::test]
async fn gateways_are_served_from_the_file_as_well() {
    let mut world = World::start(103).await;
    let port = free_port().await;
    world.install_gateway_api();
    world.gateway(&[json!({"name": "a", "port": port, "protocol": "TCP"})]);
    world.backend("web", &pods([127, 2, 103], &["a"]).await);
    world.tcp_route("tcp", 1, &[("web", 80, 1)]);
    let (more, path) = state(&world);
    let first = world.run(&more).await;
    let addr = (world.ip(1), port).into();
    ask_until("the route", addr, |answer| answer == Some("a")).await;
    eventually("the Gateway with its address in the file", || {
        content(&path).is_some_and(|content| {
            let gateway = &content["clusters"][0]["gateway"]["gateways"][0];
            gateway["status"]
                .to_string()
                .contains(&format!("assigned {addr}"))
        })
    })
    .await;
    world.api.kill().await;
    first.kill().await;
    let second = world.run(&more).await;
    ask_until("the route", addr, |answer| answer == Some("a")).await;
    world.api.restart().await;
    let backend = pods([127, 4, 103], &["b"]).await;
    world.backend("web", &backend);
    ask_until("the new pod", addr, |answer| answer == Some("b")).await;
    second.end().await;
}

#[tokio::test]
async fn backends_begin_with_the_failures_of_the_process_before() {
    let mut world = World::start(106).await;
    let port = free_port().await;
    let mut endpoints = pods([127, 2, 106], &["a"]).await;
    let dead = SocketAddr::from(([127, 2, 106, 9], endpoints[0].port()));
    endpoints.push(dead);
    world.serve("web", &[port], &endpoints);
    let (more, path) = state(&world);
    let first = world.run(&more).await;
    let addr = (world.ip(1), port).into();
    ask_until("the pod", addr, |answer| answer == Some("a")).await;
    // Until a client was sent to the dead one first.
    poll_until("a failure in the file", || async {
        ask(addr).await;
        let faults = content(&path)?["faults"].to_string();
        faults.contains(&dead.to_string()).then_some(())
    })
    .await;
    eventually("the status in the file", || has_status(&path, "web")).await;
    world.api.kill().await;
    first.kill().await;
    let second = world.run(&more).await;
    // No client has connected to this process.
    eventually("the failure", || {
        let faults = second.handle.export_faults().to_json();
        String::from_utf8(faults)
            .unwrap()
            .contains(&dead.to_string())
    })
    .await;
    ask_until("the pod", addr, |answer| answer == Some("a")).await;
    second.end().await;
}

#[tokio::test]
async fn plan_and_explain_say_how_old_the_file_is() {
    let mut both = TwoClusters::start(104).await;
    let west = pods([127, 2, 104], &["west"]).await;
    let east = pods([127, 3, 104], &["east"]).await;
    both.serve(&west, &east);
    let (more, path) = state(&both.west);
    let text = both.config_text("", Some(", priority: 2"), &more);
    let running = Running::start(Config::parse(&text).unwrap()).await;
    both.joined("True", "east").await;
    eventually("the status in the file", || has_status(&path, "web")).await;
    running.end().await;
    let config = both.west.dir.path().join("kube_lb.yaml");
    std::fs::write(&config, &text).unwrap();
    let kube_lb = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kube_lb"));
        command.args(arguments).arg("--config").arg(&config);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let now = kube_lb(&["run", "--plan"]).await;
    assert!(
        now.starts_with("cluster west (primary): current\ncluster east: current\nlisten "),
        "{now}"
    );
    both.west.api.kill().await;
    both.east.kill().await;
    let old = kube_lb(&["run", "--plan"]).await;
    let mut lines = old.lines();
    for start in ["cluster west (primary): ", "cluster east: "] {
        let line = lines.next().unwrap();
        assert!(
            line.starts_with(start)
                && line.contains("s old, as of 2")
                && line.contains("cannot be reached"),
            "{line}"
        );
    }
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with(&format!("listen {}", both.addr())),
        "{old}"
    );
    let explained = kube_lb(&["explain", "service", "default/web"]).await;
    assert!(explained.contains("s old, as of 2"), "{explained}");
    for pod in [west[0], east[0]] {
        assert!(explained.contains(&pod.to_string()), "{explained}");
    }
}

#[tokio::test]
async fn sighup_adds_a_cluster_to_the_process() {
    let both = TwoClusters::start(105).await;
    let west = pods([127, 2, 105], &["west"]).await;
    let east = pods([127, 3, 105], &["east"]).await;
    both.serve(&west, &east);
    let config = both.west.dir.path().join("kube_lb.yaml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    write(&both.config_text("", None, ""));
    let mut child = Command::new(env!("CARGO_BIN_EXE_kube_lb"))
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let hangup = || rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    both.until("west").await;
    // A file that is wrong changes nothing.
    write("pools: 1");
    hangup();
    write(&both.config_text("", Some(""), ""));
    within("the pod of the other cluster", async {
        while ask(both.addr()).await.as_deref() != Some("east") {
            hangup();
        }
    })
    .await;
    both.until("west").await;
    child.kill().unwrap();
    child.wait().unwrap();
}
