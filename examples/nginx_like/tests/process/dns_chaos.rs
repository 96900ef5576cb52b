//! DNS failures of every kind while clients connect: no connection is lost while one node is eligible, and the log has
//! the reason.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask, eventually, until};
use test_support::dns::{DnsServer, RecordType, ResponseCode};

const NAME: &str = "nodes.test";
const SERVICE: &str = "_tcp-echo._tcp.nodes.test";
const NODES: [&str; 2] = ["node1", "node2"];

const fn host(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Two nodes with a name and a service, a proxy over them, and clients that connect all the time.
struct Chaos {
    dns: DnsServer,
    proxy: NginxLike,
    port: u16,
    clients: Clients,
    _nodes: Vec<JoinHandle<()>>,
    _machines: Vec<Reserved>,
}

impl Chaos {
    async fn start(server: &str) -> Self {
        let dns = DnsServer::start();
        let machines = Reserved::same_port(&[host(31), host(32)]);
        let port = machines[0].addr.port();
        let mut nodes = Vec::new();
        for (machine, node) in machines.iter().zip(NODES) {
            nodes.push(machine.serve(node).await);
        }
        dns.set(NAME, 1, &[host(31), host(32)]);
        dns.set_service(SERVICE, 1, &[(1, 1, port, NAME)]);
        let resolver = dns.addr();
        let server = server.replace("PORT", &port.to_string());
        let stream = format!(
            "resolver {resolver}; resolver_timeout 500ms;
            upstream nodes {{ {server} }}
            server {{ listen LISTEN; proxy_pass nodes; proxy_connect_timeout 30s; }}"
        );
        let proxy = NginxLike::start("", &stream).await;
        until(&proxy, "both nodes serve", both).await;
        let clients = Clients::start(proxy.addr);
        Self {
            dns,
            proxy,
            port,
            clients,
            _nodes: nodes,
            _machines: machines,
        }
    }

    /// Waits until the log has `text`, and some more clients have been served since.
    async fn served_although(&self, text: &str) {
        self.proxy.logged(text).await;
        self.clients.served_more().await;
    }

    /// Waits until the server has got this number of further queries.
    async fn asked(&self, times: usize, name: &str, kind: RecordType) {
        let wanted = self.dns.questions_of(name, kind) + times;
        let asked = || self.dns.questions_of(name, kind) >= wanted;
        eventually("more questions", asked).await;
    }

    /// Answers with both nodes.
    fn answer(&self) {
        self.dns.set(NAME, 1, &[host(31), host(32)]);
        self.dns.set_service(SERVICE, 1, &[(1, 1, self.port, NAME)]);
    }

    /// Ends the fault and waits until the log has its end.
    async fn recover(&self) {
        let recoveries = self.proxy.count("Discovery recovered");
        self.answer();
        self.dns.set_silent(false);
        self.dns.set_truncated(false);
        let recovered = || self.proxy.count("Discovery recovered") > recoveries;
        eventually("the recovery", recovered).await;
    }
}

fn both(answers: &[String]) -> bool {
    let answers_of = |node: &str| answers.iter().any(|answer| answer == node);
    NODES.into_iter().all(answers_of)
}

/// Clients that connect one after another until they are stopped.
struct Clients {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Clients {
    fn start(addr: std::net::SocketAddr) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let task = tokio::spawn({
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(addr).await.expect("every connection is answered");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, served, task }
    }

    async fn served_more(&self) {
        let wanted = self.served.load(Ordering::Relaxed) + 20;
        let served = || {
            assert!(!self.task.is_finished(), "a connection was lost");
            self.served.load(Ordering::Relaxed) >= wanted
        };
        eventually("clients are served", served).await;
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no connection was lost");
    }
}

#[tokio::test]
async fn no_failure_of_dns_stops_traffic() {
    for server in [
        "server nodes.test:PORT resolve;",
        "server nodes.test service=tcp-echo resolve;",
    ] {
        let chaos = Chaos::start(server).await;
        let (asked, kind) = if server.contains("service") {
            (SERVICE, RecordType::SRV)
        } else {
            (NAME, RecordType::A)
        };

        chaos.dns.set_silent(true);
        chaos.served_although("no answer from").await;
        chaos.recover().await;

        chaos.dns.set_truncated(true);
        chaos
            .served_although("truncated its answer over TCP, too")
            .await;
        chaos.recover().await;

        for (code, text) in [
            (ResponseCode::ServFail, "failed (SERVFAIL)"),
            (ResponseCode::Refused, "refused to answer (REFUSED)"),
        ] {
            chaos.dns.fail(asked, code);
            chaos.served_although(text).await;
            chaos.recover().await;
        }

        // Flapping: every other answer is a failure.
        for _ in 0..3 {
            chaos.dns.fail(asked, ResponseCode::ServFail);
            chaos.asked(1, asked, kind).await;
            chaos.answer();
            chaos.clients.served_more().await;
        }
        until(&chaos.proxy, "both nodes serve again", both).await;
        chaos.clients.finish().await;
    }
}

#[tokio::test]
async fn wrong_addresses_cost_no_connection_while_one_is_right() {
    let chaos =
        Chaos::start("server nodes.test:PORT resolve; server 127.0.0.31:PORT backup;").await;
    // No server listens there, so each attempt there is retried on the next node.
    let nowhere = [host(31), host(41), host(42), host(43)];
    chaos.dns.set(NAME, 1, &nowhere);
    chaos.served_although("upstream: \"127.0.0.41:").await;
    // All addresses are wrong: the backup, which does not depend on DNS, serves.
    chaos.dns.set(NAME, 1, &nowhere[1..]);
    until(&chaos.proxy, "the backup serves", |answers| {
        answers.iter().all(|a| a == "node1")
    })
    .await;
    // The name does not exist any more: as in nginx its servers are removed.
    chaos.dns.remove(NAME);
    chaos.served_although("no such name (NXDOMAIN)").await;
    chaos.dns.set(NAME, 1, &[host(31), host(32)]);
    until(&chaos.proxy, "both nodes serve again", both).await;
    // Records of other names in the answer are not used.
    chaos.dns.lie(NAME, &[("other.test", host(44))]);
    chaos.asked(2, NAME, RecordType::A).await;
    until(&chaos.proxy, "both nodes serve again", both).await;
    assert_eq!(chaos.proxy.count("127.0.0.44"), 0);
    chaos.clients.finish().await;
}
