//! Reading, writing and resetting connections.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::deadline::within;

/// Connects to `addr` and reads until the server closes.
///
/// # Errors
///
/// What connecting and reading return.
pub async fn ask(addr: SocketAddr) -> io::Result<String> {
    let mut client = TcpStream::connect(addr).await?;
    let mut answer = String::new();
    within("an answer", client.read_to_string(&mut answer)).await?;
    Ok(answer)
}

/// How many of `clients` got which answer, `refused` being a reset. `at_once` clients connect at a time.
pub async fn answers(addr: SocketAddr, clients: usize, at_once: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    let mut running = JoinSet::new();
    for i in 0..clients + at_once {
        if i >= at_once {
            let answer: io::Result<String> = running.join_next().await.unwrap().unwrap();
            let answer = match answer {
                Ok(name) => name,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => "refused".into(),
                Err(error) => panic!("{error}"),
            };
            *answers.entry(answer).or_default() += 1;
        }
        if i < clients {
            running.spawn(ask(addr));
        }
    }
    answers
}

/// What [`answers`] returns if each name answered so often.
#[must_use]
pub fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let counts = expected.iter().map(|(name, n)| ((*name).to_owned(), *n));
    counts.collect()
}

/// Reads to the end, which must be a clean one.
pub async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within("reading to the end", stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    bytes
}

/// Reads until the connection is reset, and returns the bytes before the reset.
pub async fn read_until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = within("the reset", stream.read_to_end(&mut bytes))
        .await
        .expect_err("a reset, not a clean end");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    bytes
}

/// Asserts that the connection is reset, whatever arrives before.
pub async fn assert_reset(stream: &mut TcpStream) {
    read_until_reset(stream).await;
}

/// Asserts that a connection to `addr` is reset. The client may see the reset as soon as it has connected.
pub async fn assert_refused(addr: SocketAddr) {
    match TcpStream::connect(addr).await {
        Ok(mut client) => assert_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Sends `outgoing` and a FIN, and receives until the peer's FIN, both at the same time.
pub async fn send_and_receive(stream: TcpStream, outgoing: Vec<u8>) -> (TcpStream, Vec<u8>) {
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        writer.write_all(&outgoing).await.unwrap();
        writer.shutdown().await.unwrap();
        writer
    });
    let mut incoming = Vec::new();
    within("a transfer", reader.read_to_end(&mut incoming))
        .await
        .unwrap();
    let writer = sending.await.unwrap();
    (reader.reunite(writer).unwrap(), incoming)
}

/// Sends until the kernel takes no more bytes for 200 ms, or the connection breaks. Returns the number of bytes sent.
pub async fn fill(from: &TcpStream) -> usize {
    let block = [7; 64 * 1024];
    let mut sent = 0;
    loop {
        let full = Duration::from_millis(200);
        match timeout(full, from.writable()).await {
            Ok(writable) => writable.unwrap(),
            Err(_) => return sent,
        }
        match from.try_write(&block) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return sent,
        }
    }
}

/// Closes `stream` with a reset.
pub fn reset(stream: TcpStream) {
    reset_on_close(&stream);
    drop(stream);
}

/// Makes the close of `stream` send a reset.
pub fn reset_on_close(stream: &TcpStream) {
    SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
