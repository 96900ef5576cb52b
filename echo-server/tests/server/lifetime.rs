//! Back-pressure, and how a server and its connections end.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::{ask, start, start_on, within};
use echo_server::serve_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Sends until the server reads no more. On a slow machine the client may stop too early: it has sent less, and the test
/// is still valid.
async fn flood(client: &mut TcpStream, limit: usize) -> usize {
    let chunk = [b'x'; 9_999]
        .iter()
        .chain(b"\n")
        .copied()
        .collect::<Vec<_>>();
    let mut sent = 0;
    while sent < limit {
        let rest = &chunk[sent % chunk.len()..];
        match tokio::time::timeout(Duration::from_millis(200), client.write(rest)).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

#[tokio::test]
async fn a_slow_reader_gets_every_answer() {
    const LIMIT: usize = 256 << 20;
    let (addr, _) = start().await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    let sent = flood(&mut client, LIMIT).await;
    assert!(
        sent < LIMIT,
        "the server read {sent} bytes of a client that reads no answer"
    );

    within(async {
        let mut answers = Vec::new();
        let (mut reader, mut writer) = client.split();
        let (ended, read) = tokio::join!(writer.shutdown(), reader.read_to_end(&mut answers));
        ended.unwrap();
        read.unwrap();
        let lines = sent.div_ceil(10_000);
        let missing_newline = usize::from(sent % 10_000 != 0);
        assert_eq!(answers.len(), sent + lines * b"n: ".len() + missing_newline);
        for answer in answers.split_inclusive(|byte| *byte == b'\n') {
            assert!(answer.starts_with(b"n: x") || answer == b"n: \n");
        }
    })
    .await;
}

#[tokio::test]
async fn aborting_closes_the_listener_and_every_connection() {
    let (addr, server) = start_on(Ipv4Addr::new(127, 0, 0, 2)).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = TcpStream::connect(addr).await.unwrap();
        ask(&mut client, "hello\n").await;
        clients.push(client);
    }
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    for mut client in clients {
        assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    }
    TcpStream::connect(addr).await.unwrap_err();
}

#[tokio::test]
async fn a_shutdown_answers_closes_and_returns() {
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_until(listener, "n", stop.clone().cancelled_owned()));
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut client, "hello\n").await, "n: hello\n");
    stop.cancel();
    within(server).await.unwrap();
    assert_eq!(within(client.read(&mut [0])).await.unwrap(), 0);
    TcpStream::connect(addr).await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_delay_a_shutdown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_until(listener, "n", stop.clone().cancelled_owned()));
    let mut client = TcpStream::connect(addr).await.unwrap();
    flood(&mut client, usize::MAX).await;
    stop.cancel();
    within(server).await.unwrap();
}
