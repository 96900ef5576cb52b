//! `lb_admin`: the admin server of a configuration.

mod access;
mod configuration;
mod explain;
mod log_level;
mod moves;
mod start;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use crate::sockets::within;

/// The body of the answer to a request over the socket at `path`.
pub(crate) async fn request(path: &Path, method: &str, target: &str) -> String {
    let path = path.to_owned();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nx-lb-admin: 1\r\nconnection: close\r\n\r\n"
    );
    let exchange = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    spawn_blocking(exchange).await.unwrap()
}

pub(crate) async fn json(path: &Path, method: &str, target: &str) -> Value {
    let body = request(path, method, target).await;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// An admin server of `stream` with a token, at a free address.
fn with_token(dir: &Path, addr: SocketAddr) -> String {
    let token = dir.join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    format!("lb_admin {addr} token={};", token.display())
}

/// The status and the body of the answer over TCP.
async fn over_tcp(addr: SocketAddr, method: &str, target: &str) -> (String, String) {
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}
