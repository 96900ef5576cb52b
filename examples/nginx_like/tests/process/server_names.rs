//! `ssl_preread` and `map`: the server name chooses the upstream, on request compared with a real nginx.

use std::iter::once;
use std::net::SocketAddr;

use test_support::client_hello::asking_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hash::start_nginx_if_asked;
use crate::proxy::NginxLike;
use crate::sockets::{answer, listen};

/// A backend that sends its name and closes.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(name.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    addr
}

#[tokio::test]
async fn a_map_sends_names_to_upstreams() {
    let (one, two, other) = (named("one").await, named("two").await, named("other").await);
    let stream = format!(
        "map $ssl_preread_server_name $name {{
            hostnames; default {other}; a.example.com one; .two.test {two};
        }}
        upstream one {{ hash $remote_addr; server {one}; }}
        server {{ listen LISTEN; ssl_preread on; proxy_pass $name; }}"
    );
    let ours = NginxLike::start("", &stream).await;
    let dir = tempfile::tempdir().unwrap();
    let theirs = start_nginx_if_asked(dir.path(), &stream).await;
    let proxies = once(ours.addr).chain(theirs.as_ref().map(|started| started.0));
    for addr in proxies {
        for (first, expected) in [
            (asking_for("a.example.com"), "one"),
            (asking_for("A.EXAMPLE.com"), "one"),
            (asking_for("two.test"), "two"),
            (asking_for("b.two.test"), "two"),
            (asking_for("b.example.com"), "other"),
            (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "other"),
        ] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(&first).await.unwrap();
            assert_eq!(answer(&mut client).await, expected, "by {addr}");
        }
    }
}

/// nginx keeps whatever name the client sent, with its letters.
#[tokio::test]
async fn a_name_is_kept_as_the_client_sent_it() {
    let stream = "map $ssl_preread_server_name $found {
            hostnames; default -; *.example.com wild;
        }
        server { listen LISTEN; ssl_preread on;
            return '$found $ssl_preread_protocol $ssl_preread_server_name'; }";
    let proxy = NginxLike::start("", stream).await;
    for (name, found) in [
        ("Foo.Example.COM", "wild"),
        ("A/b.example.com", "wild"),
        ("a..b", "-"),
        (".a", "-"),
        ("x:80", "-"),
        ("\u{fc}.example.com", "wild"),
    ] {
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(&asking_for(name)).await.unwrap();
        let expected = format!("{found} TLSv1.2 {name}");
        assert_eq!(answer(&mut client).await, expected);
    }
}
