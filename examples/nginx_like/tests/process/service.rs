//! `server NAME service=NAME resolve`: the nodes of a service by its SRV records.

use std::net::{IpAddr, Ipv4Addr};

use tokio::task::JoinHandle;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, ask_times, until, within};
use test_support::dns::{DnsServer, Offer};

const SERVICE: &str = "_tcp-echo._tcp.nodes.test";
const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// Three nodes on different ports, and their name server.
struct Service {
    machines: Vec<Reserved>,
    dns: DnsServer,
    nodes: Vec<JoinHandle<()>>,
}

impl Service {
    async fn start() -> Self {
        let mut service = Self {
            machines: Vec::new(),
            dns: DnsServer::start(),
            nodes: Vec::new(),
        };
        for (number, node) in (21..).zip(NODES) {
            let host = IpAddr::V4(Ipv4Addr::new(127, 0, 0, number));
            let machine = Reserved::at((host, 0).into()).unwrap();
            service.nodes.push(machine.serve(node).await);
            service.dns.set(&format!("{node}.test"), 1, &[host]);
            service.machines.push(machine);
        }
        service
    }

    /// Sets the records: priority, weight and the number of the node.
    fn offer(&self, offers: &[(u16, u16, usize)]) {
        let target = |node: usize| format!("{}.test", NODES[node - 1]);
        let targets: Vec<String> = offers.iter().map(|(_, _, node)| target(*node)).collect();
        let records: Vec<Offer<'_>> = offers
            .iter()
            .zip(&targets)
            .map(|((priority, weight, node), target)| {
                (
                    *priority,
                    *weight,
                    self.machines[node - 1].addr.port(),
                    &**target,
                )
            })
            .collect();
        self.dns.set_service(SERVICE, 1, &records);
    }

    async fn proxy(&self, servers: &str) -> NginxLike {
        let dns = self.dns.addr();
        let stream = format!(
            "resolver {dns} ipv6=off;
            upstream nodes {{ zone nodes 64k; {servers} }}
            server {{ listen LISTEN; proxy_pass nodes; }}"
        );
        NginxLike::start("", &stream).await
    }
}

#[tokio::test]
async fn the_lowest_priority_serves_by_weight_and_the_others_are_backups() {
    let service = Service::start().await;
    service.offer(&[(1, 2, 1), (1, 1, 2), (7, 9, 3)]);
    let proxy = service
        .proxy("server nodes.test service=tcp-echo resolve;")
        .await;
    let answers = ask_times(proxy.addr, 6).await;
    assert_eq!(
        answers,
        ["node1", "node2", "node1", "node1", "node2", "node1"]
    );

    // The primaries stop, and the backup serves. Its weight makes no difference.
    service.dns.remove("node1.test");
    service.dns.remove("node2.test");
    until(&proxy, "the backup serves", |answers| {
        answers.iter().all(|a| a == "node3")
    })
    .await;
    // Changed records are followed, too.
    service.offer(&[(5, 1, 3)]);
    service
        .dns
        .set("node2.test", 1, &[service.machines[1].addr.ip()]);
    service.offer(&[(5, 1, 3), (5, 1, 2)]);
    until(&proxy, "a new record is used", |answers| {
        answers.iter().filter(|a| *a == "node2").count() == answers.len() / 2
    })
    .await;
}

#[tokio::test]
async fn a_configured_weight_replaces_the_weights_of_the_records() {
    let service = Service::start().await;
    service.offer(&[(1, 50, 1), (1, 0, 2)]);
    let proxy = service
        .proxy("server nodes.test service=_tcp-echo._tcp resolve weight=3;")
        .await;
    let answers = ask_times(proxy.addr, 4).await;
    assert_eq!(
        answers.iter().filter(|a| *a == "node1").count(),
        2,
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_service_with_backup_uses_its_preferred_records_only() {
    let service = Service::start().await;
    service.offer(&[(1, 1, 2), (2, 1, 3)]);
    let first = service.machines[0].addr;
    let proxy = service
        .proxy(&format!(
            "server {first} fail_timeout=1h; server nodes.test service=tcp-echo resolve backup;"
        ))
        .await;
    assert_eq!(ask_times(proxy.addr, 2).await, ["node1", "node1"]);
    service.nodes[0].abort();
    // Aborting is asynchronous: the node is dead once its address refuses.
    within("the node's end", async {
        while ask(first).await.is_ok() {}
    })
    .await;
    until(&proxy, "the backup serves", |answers| {
        answers.iter().all(|a| a == "node2")
    })
    .await;
    service.dns.remove("node2.test");
    // No backend remains: the records of the second priority are no backups of backups.
    within("the end of the service", async {
        while ask(proxy.addr).await.is_ok() {}
    })
    .await;
}
