//! Clients that are slow, send too much or never end.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lb_proxy::admin::{AdminSettings, MAX_CONNECTIONS};
use test_support::sockets::loopback;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;

use super::{AdminScene, tcp};

/// Slow, huge and many requests: the sessions go on, and so does the admin server afterwards.
#[tokio::test]
async fn hostile_clients_of_the_admin_server_delay_no_session() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let addr = scene.addr();
    let hostile = spawn_blocking(move || {
        let mut clients: Vec<TcpStream> = Vec::new();
        for i in 0..64 {
            // The kernel's queue may be full by then.
            let wait = Duration::from_millis(200);
            let Ok(mut client) = TcpStream::connect_timeout(&addr, wait) else {
                break;
            };
            match i % 2 {
                0 => client
                    .write_all(b"GET /status.json HTTP/1.1\r\nx: ")
                    .unwrap(),
                // The server closes the connection amid it.
                _ => drop(client.write_all(&[b'x'; 64 * 1024])),
            }
            clients.push(client);
        }
        clients
    });
    let clients = hostile.await.unwrap();
    assert!(clients.len() > 32);
    let both = scene.backends_of(20).await;
    assert_eq!(both.matches('a').count(), 10, "{both}");
    for client in clients {
        let _ = client.shutdown(Shutdown::Both);
    }
    let host = format!("host: {addr}\r\n");
    assert_eq!(tcp(addr, "GET", "/livez", &host).await.status, 200);
    let long = format!("{host}x: {}\r\n", "x".repeat(20_000));
    assert_eq!(tcp(addr, "GET", "/livez", &long).await.status, 431);
    let many = format!("{host}{}", "x: y\r\n".repeat(100));
    assert_eq!(tcp(addr, "GET", "/livez", &many).await.status, 431);
    scene.end().await;
}

#[tokio::test]
async fn clients_that_send_half_a_request_do_not_keep_a_probe_from_its_answer() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let mut halves = Vec::new();
    for _ in 0..2 * MAX_CONNECTIONS {
        let mut half = tokio::net::TcpStream::connect(scene.addr()).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        halves.push(half);
    }
    assert_eq!(
        tcp(scene.addr(), "GET", "/livez", "host: [::1]\r\n")
            .await
            .status,
        200
    );

    // The one that has waited longest is closed, and the last one is open.
    let mut first = halves.swap_remove(0);
    match first.read(&mut [0]).await {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let mut last = halves.swap_remove(0);
    let rest = b"host: localhost\r\nconnection: close\r\n\r\n";
    last.write_all(rest).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    scene.proxy.end().await;
}
