//! `proxy_half_close`, and backends that send first.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::proxy::NginxLike;
use crate::sockets::{answer, listen, within};

#[tokio::test]
async fn one_end_ends_the_session_unless_half_close_is_on() {
    let (backend, addr) = listen().await;
    for (setting, is_answered) in [("", false), ("proxy_half_close on;", true)] {
        let stream = format!("server {{ listen LISTEN; proxy_pass {addr}; {setting} }}");
        let proxy = NginxLike::start("", &stream).await;
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
        assert_eq!(answer(&mut server).await, "question");
        if is_answered {
            server.write_all(b"answer").await.unwrap();
            drop(server);
            assert_eq!(answer(&mut client).await, "answer");
        } else {
            assert_eq!(answer(&mut client).await, "");
        }
    }
}

#[tokio::test]
async fn a_backend_that_sends_first_is_not_delayed() {
    let (backend, addr) = listen().await;
    let stream = format!("server {{ listen LISTEN; proxy_pass {addr}; }}");
    let proxy = NginxLike::start("", &stream).await;
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut server, _) = within("the connection", backend.accept()).await.unwrap();
    server.write_all(b"220 ready").await.unwrap();
    drop(server);
    assert_eq!(answer(&mut client).await, "220 ready");
}
