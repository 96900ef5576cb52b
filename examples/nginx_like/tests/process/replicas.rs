//! Two processes with different histories that send each client to the same server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::Signal;
use tokio::net::TcpSocket;

use crate::command_line::run;
use crate::proxy::NginxLike;
use crate::sockets::{Conversation, Reserved, within};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The server that one replica finds dead.
const FAULTY: usize = 2;
const CLIENTS: u16 = 200;

/// The clients 127.78.x.y and the servers that they reach.
type Choices = BTreeMap<Ipv4Addr, String>;

/// A stream block with these servers in this order.
fn stream(method: &str, admin: &std::path::Path, servers: &[SocketAddr]) -> String {
    let servers = servers
        .iter()
        .map(|addr| format!("server {addr} fail_timeout=1s;"));
    let servers: String = servers.collect();
    format!(
        "lb_admin unix:{};
        upstream u {{ {method} {servers} }}
        server {{ listen LISTEN; proxy_pass u; }}",
        admin.display()
    )
}

async fn choice(proxy: SocketAddr, client: Ipv4Addr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    let stream = socket.connect(proxy).await.unwrap();
    Conversation::over(stream).say("hello").await.unwrap()
}

async fn choices(proxy: SocketAddr) -> Choices {
    let mut choices = Choices::new();
    for i in 0..CLIENTS {
        let [high, low] = i.to_be_bytes();
        let client = Ipv4Addr::new(127, 78, high, low);
        choices.insert(client, choice(proxy, client).await);
    }
    choices
}

/// The clients whose server is another one, or gone.
fn changed(before: &Choices, after: &Choices) -> usize {
    let differs = |(client, server): &(&Ipv4Addr, &String)| after.get(client) != Some(server);
    before.iter().filter(differs).count()
}

#[tokio::test]
async fn no_client_changes_its_server_when_one_of_two_replicas_is_killed() {
    for (method, is_ordered) in [
        ("hash $remote_addr consistent;", false),
        ("hash $remote_addr;", true),
    ] {
        let servers = NAMES.map(|_| Reserved::any());
        let addrs = servers.each_ref().map(|server| server.addr);
        for (i, server) in servers.iter().enumerate() {
            if i != FAULTY {
                drop(server.serve(NAMES[i]).await); // detached: it lives as long as the test's runtime
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["first.sock", "second.sock"].map(|name| dir.path().join(name));
        // One replica begins with other servers and is killed. Its successor begins with some servers, and then gets the
        // others, in another order where the method does not depend on the order.
        let state = format!("lb_state {}/state interval=100ms;", dir.path().display());
        let mut last = addrs;
        if !is_ordered {
            last.reverse();
        }
        let mut killed = NginxLike::start(&state, &stream(method, &second, &addrs[1..4])).await;
        choice(killed.addr, Ipv4Addr::LOCALHOST).await;
        killed.signal(Signal::KILL);
        killed.ended().await;
        let eventful =
            NginxLike::start(&state, &stream(method, &second, &[addrs[4], addrs[0]])).await;
        eventful
            .reload(&state, &stream(method, &second, &last))
            .await;
        // It finds a server dead, and ejects it.
        let meanwhile = choices(eventful.addr).await;
        let is_faulty = |name: &String| name == NAMES[FAULTY];
        assert!(!meanwhile.values().any(is_faulty));
        drop(servers[FAULTY].serve(NAMES[FAULTY]).await);
        // The other one begins now.
        let quiet = NginxLike::start("", &stream(method, &first, &addrs)).await;
        let expected = choices(quiet.addr).await;
        let (client, _) = expected
            .iter()
            .find(|(_, name)| is_faulty(name))
            .expect("a client");
        within("the end of the ejection", async {
            while choice(eventful.addr, *client).await != NAMES[FAULTY] {}
        })
        .await;
        let unix = |path: &std::path::Path| format!("unix:{}", path.display());
        let (output, said) = run(&["compare", &unix(&first), &unix(&second)], dir.path());
        assert!(output.status.success(), "{said}");
        let mut quiet = quiet;
        quiet.signal(Signal::KILL);
        quiet.ended().await;
        let survivor = choices(eventful.addr).await;
        let moved = changed(&expected, &survivor);
        eprintln!(
            "{method} of {CLIENTS} clients {} change the server while one is ejected, {moved} when a replica is killed",
            changed(&expected, &meanwhile)
        );
        assert_eq!(moved, 0, "{method}");
        assert!(
            expected
                .values()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
                == NAMES.len()
        );
    }
}
