//! Clients on unix sockets: rules, limits, headers.

use std::sync::Arc;

use lb_proxy::access::{Access, ClientZone};
use lb_proxy::proxy_protocol::{ProxyProtocol, SendProxy, TrustedNetworks};
use lb_proxy::{Listener, Proxy};
use test_support::deadline::eventually;
use test_support::proxy::{RunningProxy, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Observer, accepted, ask_unix, backend, directory, named_unix, path};

#[tokio::test]
async fn rules_and_limits_apply_to_clients_on_unix_sockets() {
    let dir = directory();
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let everything =
        || Access::new().deny("0.0.0.0/0".parse::<lb_proxy::access::Network>().unwrap());
    let ipv6 = || "::/0".parse::<lb_proxy::access::Network>().unwrap();
    let [denied, allowed, networks] =
        ["denied", "allowed", "networks"].map(|name| path(&dir, name));
    let proxy = Proxy::builder()
        .listener(Listener::unix(&*denied, &upstream).access(Access::new().deny_unix()))
        .listener(
            Listener::unix(&*allowed, &upstream).access(Access::new().allow_unix().deny_unix()),
        )
        .listener(Listener::unix(&*networks, &upstream).access(everything().deny(ipv6())));
    let proxy = RunningProxy::run(proxy).await;
    assert_eq!(ask_unix(&denied).await.unwrap(), "");
    assert_eq!(ask_unix(&allowed).await.unwrap(), "a");
    assert_eq!(ask_unix(&networks).await.unwrap(), "a");
    assert_eq!(proxy.metrics().access_denied, 1);
    proxy.end().await;
}

/// All clients on unix sockets are one client, as in nginx.
#[tokio::test]
async fn clients_on_unix_sockets_share_one_entry_of_a_zone() {
    let dir = directory();
    let (backend, listener) = backend(&path(&dir, "back"));
    let front = path(&dir, "front");
    let zone = ClientZone::builder().build();
    let described = Listener::unix(&*front, &upstream([backend]));
    let described = described.limit_clients(&zone, 1);
    let proxy = RunningProxy::start(described, None).await;
    let _first = UnixStream::connect(&front).await.unwrap();
    let _server = accepted(&listener).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "");
    assert_eq!((proxy.metrics().client_sessions, zone.len()), (1, 1));
    drop(_first);
    drop(_server);
    proxy.end().await;
}

#[tokio::test]
async fn a_header_of_a_client_on_a_unix_socket_has_no_addresses() {
    for (send, expected) in [
        (SendProxy::v1(), &b"PROXY UNKNOWN\r\n"[..]),
        (
            SendProxy::v2().checksum(true),
            b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x07\x03\x00\x04\xa9\xb8\x7e\x8f",
        ),
    ] {
        let dir = directory();
        let (backend, listener) = backend(&path(&dir, "back"));
        let front = path(&dir, "front");
        let described = Listener::unix(&*front, &upstream([backend])).send_proxy(send);
        let proxy = RunningProxy::start(described, None).await;
        let client = UnixStream::connect(&front).await.unwrap();
        let mut server = accepted(&listener).await;
        let mut header = vec![0; expected.len()];
        server.read_exact(&mut header).await.unwrap();
        assert_eq!(header, expected);
        drop(client);
        drop(server);
        proxy.end().await;
    }
}

#[tokio::test]
async fn headers_are_believed_from_unix_sockets_only_if_these_are_trusted() {
    let trusted = TrustedNetworks::none().trust_unix();
    for (trusted, client) in [
        (trusted, "192.0.2.1:1234"),
        (TrustedNetworks::none(), "unix:"),
    ] {
        let dir = directory();
        let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
        let front = path(&dir, "front");
        let seen = Arc::new(Observer::default());
        let protocol = ProxyProtocol::required(trusted)
            .untrusted(lb_proxy::proxy_protocol::Untrusted::Disbelieve);
        let described = Listener::unix(&*front, &upstream)
            .preread(Arc::new(protocol))
            .hooks(Arc::clone(&seen));
        let proxy = RunningProxy::start(described, None).await;
        let mut stream = UnixStream::connect(&front).await.unwrap();
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 446\r\n";
        stream.write_all(header).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "a");
        drop(stream);
        eventually("the hook", || !seen.0.lock().unwrap().is_empty()).await;
        let connection = seen.0.lock().unwrap()[0].0.clone();
        assert_eq!(connection.client_endpoint().to_string(), client);
        assert_eq!(connection.peer_endpoint().to_string(), "unix:");
        proxy.end().await;
    }
}
