//! The choice of an upstream, explained.

use test_support::client_hello::asking_for;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::json;
use crate::proxy::NginxLike;
use crate::server_names::named;
use crate::sockets::answer;

/// The route of a client is explained as sessions take it: `server_name`, `map`, `set`, `pass`.
#[tokio::test]
async fn a_route_is_explained_as_sessions_take_it() {
    let (one, two) = (named("one").await, named("two").await);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let stream = format!(
        "lb_admin unix:{};
        map $ssl_preread_server_name $pool {{ default pool_one; mapped.test pool_two; ip.test {two}; }}
        upstream pool_one {{ server {one}; }}
        upstream pool_two {{ hash $remote_addr; server {two}; }}
        server {{ listen LISTEN; server_name mapped.test ip.test; ssl_preread on; proxy_pass $pool; }}
        server {{ listen LISTEN default_server; ssl_preread on; set $to pool_two; proxy_pass $to; }}
        server {{ listen LISTEN; server_name plain.test; ssl_preread on; proxy_pass pool_one; }}
        server {{ listen LISTEN; server_name closed.test; ssl_preread on; return \"none\"; }}",
        socket.display()
    );
    let proxy = NginxLike::start("", &stream).await;
    let explain = async |name: &str| {
        let target = format!(
            "/explain?listener={}&client=10.0.0.1&sni={name}",
            proxy.addr
        );
        json(&socket, "GET", &target).await
    };
    for (name, upstream, line, backend) in [
        ("mapped.test", "pool_two", 9, "two"),
        ("ip.test", &*two.to_string(), 9, "two"),
        ("other.test", "pool_two", 10, "two"),
        ("plain.test", "pool_one", 11, "one"),
    ] {
        let mut client = TcpStream::connect(proxy.addr).await.unwrap();
        client.write_all(&asking_for(name)).await.unwrap();
        assert_eq!(answer(&mut client).await, backend, "{name}");
        let explained = explain(name).await;
        assert_eq!(explained["upstream"], upstream, "{name} {explained}");
        let expected = if backend == "one" { one } else { two };
        assert_eq!(
            explained["chosen"],
            expected.to_string(),
            "{name} {explained}"
        );
        let route = explained["route"].as_array().unwrap();
        let server = route[route.len() - 1]["server"].as_str().unwrap();
        assert!(
            server.ends_with(&format!(".conf:{line}")),
            "{name} {explained}"
        );
        assert!(server.starts_with("server in "), "{name} {explained}");
    }
    let closed = explain("closed.test").await;
    assert_eq!(
        (&closed["action"], &closed["bytes"]),
        (&"respond".into(), &4.into())
    );
    // A question is no client.
    assert!(!proxy.log().contains("client 10.0.0.1"), "{}", proxy.log());
}
