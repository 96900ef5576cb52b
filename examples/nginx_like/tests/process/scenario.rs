//! The article's set-up: a proxy over three nodes by name, each with the echo server on the same port.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, ask, ask_times, until, within};
use test_support::dns::DnsServer;

/// The time to live of every record, in seconds.
const TTL: u32 = 1;

const fn host(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Four machines, three of which have a name, and their name server.
struct ArticleCluster {
    machines: Vec<Reserved>,
    dns: DnsServer,
}

impl ArticleCluster {
    fn new() -> Self {
        let machines = Reserved::same_port(&[host(11), host(12), host(13), host(14)]);
        let dns = DnsServer::start();
        for (name, last) in [("node1.test", 11), ("node2.test", 12), ("node3.test", 13)] {
            dns.set(name, TTL, &[host(last)]);
        }
        Self { machines, dns }
    }

    async fn start(&self, machine: usize) -> JoinHandle<()> {
        let names = ["node1", "node2", "node3", "node4"];
        self.machines[machine].serve(names[machine]).await
    }

    async fn proxy(&self) -> NginxLike {
        let (port, dns) = (self.machines[0].addr.port(), self.dns.addr());
        let stream = format!(
            "resolver {dns};
            upstream nodes {{
                server node1.test:{port} fail_timeout=1s resolve;
                server node2.test:{port} fail_timeout=1s resolve;
                server node3.test:{port} fail_timeout=1s resolve;
            }}
            server {{ listen LISTEN; proxy_pass nodes; proxy_half_close on; }}"
        );
        NginxLike::start("", &stream).await
    }
}

fn count(answers: &[String], node: &str) -> usize {
    answers.iter().filter(|answer| *answer == node).count()
}

#[tokio::test]
async fn new_connections_go_to_the_nodes_in_turn() {
    let cluster = ArticleCluster::new();
    let _nodes = [
        cluster.start(0).await,
        cluster.start(1).await,
        cluster.start(2).await,
    ];
    let proxy = cluster.proxy().await;
    assert_eq!(
        ask_times(proxy.addr, 6).await,
        ["node1", "node2", "node3", "node1", "node2", "node3"]
    );
}

#[tokio::test]
async fn a_dead_node_costs_no_connection_and_serves_again_after_its_return() {
    let cluster = ArticleCluster::new();
    let nodes = [
        cluster.start(0).await,
        cluster.start(1).await,
        cluster.start(2).await,
    ];
    let proxy = cluster.proxy().await;
    ask_times(proxy.addr, 3).await;
    nodes[1].abort();
    // Aborting is asynchronous: the node is dead once its address refuses.
    within("the node's end", async {
        while ask(cluster.machines[1].addr).await.is_ok() {}
    })
    .await;

    let answers = ask_times(proxy.addr, 40).await;
    assert_eq!(count(&answers, "node2"), 0, "{answers:?}");
    let (first, third) = (count(&answers, "node1"), count(&answers, "node3"));
    // Each retry of the dead node, one a second, moves its turn to the next node.
    assert!(first.abs_diff(third) <= 4, "{first} and {third}");

    let _back = cluster.start(1).await;
    until(&proxy, "a node that is back serves again", |answers| {
        count(answers, "node2") >= 2
    })
    .await;
}

#[tokio::test]
async fn membership_follows_the_names() {
    let cluster = ArticleCluster::new();
    let mut nodes = Vec::new();
    for machine in 0..4 {
        nodes.push(cluster.start(machine).await);
    }
    let proxy = cluster.proxy().await;
    let mut open = loop {
        let mut conversation = Conversation::open(proxy.addr).await.unwrap();
        if conversation.say("hello").await.unwrap() == "node3" {
            break conversation;
        }
    };

    cluster.dns.set("node1.test", TTL, &[host(11), host(14)]);
    until(&proxy, "a second address of a name is used", |answers| {
        count(answers, "node4") == 2
    })
    .await;
    cluster.dns.remove("node3.test");
    until(&proxy, "a name that is gone is not used", |answers| {
        count(answers, "node3") == 0
    })
    .await;
    assert_eq!(
        open.say("still there?").await.unwrap(),
        "node3",
        "an open connection lives on"
    );

    let ArticleCluster {
        machines: _held,
        dns,
    } = cluster;
    drop(dns);
    proxy.logged("Discovery failed, keeping the last set").await;
    let answers = ask_times(proxy.addr, 12).await;
    for node in ["node1", "node2", "node4"] {
        assert_eq!(count(&answers, node), 4, "{answers:?}");
    }
    assert_eq!(open.say("and now?").await.unwrap(), "node3");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_at_the_start_does_not_stop_the_rest() {
    let cluster = ArticleCluster::new();
    let _nodes = [cluster.start(0).await, cluster.start(2).await];
    let _late = cluster.start(1).await;
    cluster.dns.remove("node2.test");
    let proxy = cluster.proxy().await;
    let answers = ask_times(proxy.addr, 4).await;
    assert_eq!(answers, ["node1", "node3", "node1", "node3"]);
    cluster.dns.set("node2.test", TTL, &[host(12)]);
    until(&proxy, "a new name is used", |answers| {
        count(answers, "node2") > 0
    })
    .await;
}

#[tokio::test]
async fn sigquit_lets_a_transfer_end_and_refuses_new_connections() {
    const LINES: usize = 4096;
    let cluster = ArticleCluster::new();
    let _node = cluster.start(0).await;
    let proxy = cluster.proxy().await;
    let mut conversation = Conversation::open(proxy.addr).await.unwrap();
    assert_eq!(conversation.say("hello").await.unwrap(), "node1");

    let (mut reader, mut writer) = conversation.into_stream().into_split();
    let line = format!("{}\n", "x".repeat(1023));
    let first_half = line.repeat(LINES / 2);
    let expected = format!("node1: {line}").repeat(LINES);
    let (half_sent, half_was_sent) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        writer.write_all(first_half.as_bytes()).await.unwrap();
        half_sent.send(()).unwrap();
        goes_on.await.unwrap();
        writer.write_all(first_half.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let receiving = tokio::spawn(async move {
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        received
    });
    half_was_sent.await.unwrap();
    proxy.signal(Signal::QUIT);
    proxy.refused().await;
    go_on.send(()).unwrap();
    sending.await.unwrap();
    let received = within("the transfer", receiving).await.unwrap();
    assert!(received == expected.as_bytes(), "{} bytes", received.len());
    assert!(proxy.exit().await.success());
}
