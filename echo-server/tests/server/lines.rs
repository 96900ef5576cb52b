//! The protocol, over real sockets.

use crate::common::{ask, exchange, start, within};
use echo_server::LINE_LIMIT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[tokio::test]
async fn lines_are_answered_one_by_one() {
    let (addr, _) = start().await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    for line in ["hello\n", "\n", "with spaces and: colons\n", "grüße\n"] {
        assert_eq!(ask(&mut client, line).await, format!("n: {line}"));
    }
}

#[tokio::test]
async fn pipelined_lines_are_answered_in_order() {
    let (addr, _) = start().await;
    let lines: Vec<_> = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let answers: Vec<_> = lines.iter().map(|line| format!("n: {line}")).collect();
    assert!(exchange(addr, lines.concat().as_bytes()).await == answers.concat().as_bytes());
}

#[tokio::test]
async fn a_last_line_without_newline_is_answered_with_one() {
    let (addr, _) = start().await;
    assert_eq!(exchange(addr, b"first\nlast").await, b"n: first\nn: last\n");
    assert_eq!(exchange(addr, b"").await, b"");
}

#[tokio::test]
async fn a_line_is_answered_only_when_it_is_complete() {
    let (addr, _) = start().await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ask(&mut client, "a\nhal").await, "n: a\n");
    // A separate answer to "hal" would arrive first.
    assert_eq!(ask(&mut client, "f\n").await, "n: half\n");
}

#[tokio::test]
async fn a_carriage_return_is_kept() {
    let (addr, _) = start().await;
    assert_eq!(
        exchange(addr, b"telnet\r\n\r\n").await,
        b"n: telnet\r\nn: \r\n"
    );
}

#[tokio::test]
async fn bytes_are_opaque() {
    let (addr, _) = start().await;
    let line: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    assert_eq!(
        exchange(addr, &line).await,
        [b"n: ".as_slice(), &line, b"\n"].concat()
    );
}

#[tokio::test]
async fn ten_megabytes_without_newline_stream_through() {
    let (addr, _) = start().await;
    let long: Vec<u8> = (0..10 << 20)
        .map(|n: u32| (n % 251) as u8)
        .map(|byte| if byte == b'\n' { 251 } else { byte })
        .collect();
    let expected = [b"n: ".as_slice(), &long, b"\n"].concat();
    assert!(exchange(addr, &long).await == expected);
    let input = [&long, b"\nshort\n".as_slice()].concat();
    assert!(exchange(addr, &input).await == [expected.as_slice(), b"n: short\n"].concat());
}

#[tokio::test]
async fn a_long_line_is_answered_before_it_ends() {
    let (addr, _) = start().await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    let long = vec![b'x'; LINE_LIMIT];
    within(client.write_all(&long)).await.unwrap();
    let mut answer = vec![0; b"n: ".len() + LINE_LIMIT];
    within(client.read_exact(&mut answer)).await.unwrap();
    assert!(answer == [b"n: ".as_slice(), &long].concat());
}

#[tokio::test]
async fn many_connections_are_served_at_once() {
    let (addr, _) = start().await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut tasks = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            for round in 0..5 {
                let line = format!("client {number} round {round}\n");
                assert_eq!(ask(&mut client, &line).await, format!("n: {line}"));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
