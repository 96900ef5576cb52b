//! The article's scenario in three objects: the echo DaemonSet's pods, a Service of type LoadBalancer, and nothing else.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use echo_server::serve;
use test_support::deadline::{eventually, within};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::{World, free_port};

/// Starts the echo server of a node. All listen on one port.
async fn node(name: &'static str, last: u8, port: u16) -> SocketAddr {
    let ip = IpAddr::from([127, 2, 1, last]);
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, name));
    addr
}

/// The name of the node that echoes a line.
async fn echoed_by(addr: SocketAddr) -> Option<String> {
    within("an echo", async {
        let mut stream = BufReader::new(TcpStream::connect(addr).await.ok()?);
        stream.write_all(b"hello\n").await.ok()?;
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let (name, said) = line.trim_end().split_once(": ")?;
        assert_eq!(said, "hello");
        Some(name.to_owned())
    })
    .await
}

#[tokio::test]
async fn each_node_answers_in_turn_and_a_new_node_is_served_within_a_second() {
    let world = World::start(1).await;
    let first = node("node1", 1, 0).await;
    let mut nodes = vec![
        first,
        node("node2", 2, first.port()).await,
        node("node3", 3, first.port()).await,
    ];
    let port = free_port().await;
    world.serve("tcp-echo", &[port], &nodes);
    let running = world.run("").await;
    eventually("the address", || world.is_served("tcp-echo")).await;
    let addresses = world.addresses("tcp-echo");
    assert_eq!(addresses, [world.ip(1).to_string()]);
    let service = SocketAddr::new(world.ip(1), port);

    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(echoed_by(service).await.unwrap());
    }
    assert_eq!(answers[..3], answers[3..], "in turn");
    let names: BTreeSet<_> = answers.iter().map(String::as_str).collect();
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["node1", "node2", "node3"]
    );

    nodes.push(node("node4", 4, first.port()).await);
    world.endpoints("tcp-echo", &[port], &nodes);
    let began = Instant::now();
    within("the new node", async {
        while echoed_by(service).await.as_deref() != Some("node4") {}
    })
    .await;
    println!("a node that was added answered after {:?}", began.elapsed());

    nodes.remove(0);
    world.endpoints("tcp-echo", &[port], &nodes);
    within("the end of the removed node", async {
        let mut without = 0;
        while without < 6 {
            without = if echoed_by(service).await.as_deref() == Some("node1") {
                0
            } else {
                without + 1
            };
        }
    })
    .await;
    running.end().await;
    assert!(TcpStream::connect(service).await.is_err());
}
