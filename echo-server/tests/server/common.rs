//! Shared by the tests: a server on a port of its own, and deadlines.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Far more than a busy machine needs: a test that reaches it fails.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("done before the deadline")
}

/// A server that answers as `n`.
pub(crate) async fn start() -> (SocketAddr, JoinHandle<()>) {
    start_on(Ipv4Addr::LOCALHOST).await
}

/// A server on an address of its own, for a test that must not connect to another test's listener later.
pub(crate) async fn start_on(ip: Ipv4Addr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (addr, tokio::spawn(echo_server::serve(listener, "n")))
}

/// Sends `input`, half-closes and reads until the server closes, both at the same time.
pub(crate) async fn exchange(addr: SocketAddr, input: &[u8]) -> Vec<u8> {
    within(async {
        let (mut reader, mut writer) = TcpStream::connect(addr).await.unwrap().into_split();
        let send = async {
            writer.write_all(input).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut answers = Vec::new();
        let (_, read) = tokio::join!(send, reader.read_to_end(&mut answers));
        read.unwrap();
        answers
    })
    .await
}

/// Sends `line` and reads its answer, without closing.
pub(crate) async fn ask(stream: &mut TcpStream, line: &str) -> String {
    within(async {
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    })
    .await
}
