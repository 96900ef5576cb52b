//! Listeners that send PROXY headers.

use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::errors::BuildError;
use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{
    Addresses, DEFAULT_LIMIT, ProxyHeader, ProxyProtocol, SendProxy, Tlv, Version,
};
use lb_proxy::{Listener, Proxy, Upstream};
use test_support::deadline::within;
use test_support::nodes::named;
use test_support::proxy::upstream;
use test_support::sockets::loopback;
use test_support::streams::read_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Scene, claimed, here, v1, v2};

/// Reads the header and the bytes behind it, as a backend does.
async fn read_header(server: &mut TcpStream, check: impl FnOnce(ProxyHeader<'_>)) {
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::parse(&bytes, DEFAULT_LIMIT).unwrap() {
            ParseStatus::Complete(header) => return check(header),
            ParseStatus::Incomplete { at_least } => {
                let have = bytes.len();
                bytes.resize(have + at_least, 0);
                let read = server.read_exact(&mut bytes[have..]);
                within("the header", read).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn backends_receive_the_client_address() {
    for (send, version) in [
        (SendProxy::v1(), Version::V1),
        (SendProxy::v2(), Version::V2),
    ] {
        let scene = Scene::with(|listener| listener.send_proxy(send)).await;
        let mut client = scene.proxy.connect().await;
        let client_addr = client.local_addr().unwrap();
        // The header does not wait for the client.
        let (mut server, _) = within("the connection", scene.backend.accept())
            .await
            .unwrap();
        read_header(&mut server, |header| {
            let expected = Addresses::new(client_addr, scene.proxy.addr);
            assert_eq!(header.addresses, Some(expected));
            assert_eq!((header.version, header.tlvs().count()), (version, 0));
        })
        .await;
        client.write_all(b"payload").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut server).await, b"payload");
        drop(server);
        read_all(&mut client).await;
        // The header does not count as bytes of the client.
        assert_eq!(scene.proxy.metrics().bytes_to_backends, 7);
        scene.end().await;
    }
}

#[tokio::test]
async fn the_header_of_a_proxy_in_front_is_forwarded_in_one_write() {
    let send = SendProxy::v2()
        .tlv(0xe1, b"ours")
        .tlv(0xe2, b"new")
        .pass_tlvs(true)
        .checksum(true);
    let scene = Scene::with(|listener| {
        listener
            .preread(Arc::new(ProxyProtocol::required(here())))
            .send_proxy(send)
    })
    .await;
    let tlvs = [Tlv::new(0xe0, b"theirs"), Tlv::new(0xe1, b"theirs")];
    let bytes = [&v2(Some(claimed()), &tlvs)[..], b"payload"].concat();
    let (received, _) = scene.serve(&bytes).await;
    let parsed = ProxyHeader::parse(&received, DEFAULT_LIMIT).unwrap();
    let header = parsed.complete().unwrap();
    assert_eq!(header.addresses, Some(claimed()));
    let tlvs: Vec<_> = header.tlvs().map(|tlv| (tlv.kind, tlv.value)).collect();
    assert_eq!(
        tlvs[..3],
        [(0xe1, &b"ours"[..]), (0xe2, b"new"), (0xe0, b"theirs")]
    );
    assert_eq!(tlvs[3].0, Tlv::CRC32C);
    assert_eq!(&received[header.len..], b"payload");
    scene.end().await;
}

#[tokio::test]
async fn one_write_has_the_header_and_the_first_bytes_of_the_client() {
    let scene = Scene::with(|listener| {
        listener
            .preread(Arc::new(ProxyProtocol::required(here())))
            .send_proxy(SendProxy::v1().local_destination(true))
    })
    .await;
    let expected = Addresses::new(claimed().source, scene.proxy.addr);
    let mut client = scene.proxy.connect().await;
    let sent = [&v1(Some(claimed()))[..], b"payload"].concat();
    client.write_all(&sent).await.unwrap();
    let (mut server, _) = within("the connection", scene.backend.accept())
        .await
        .unwrap();
    let mut first = [0; 1024];
    let n = within("the first segment", server.read(&mut first))
        .await
        .unwrap();
    assert_eq!(first[..n], [&v1(Some(expected))[..], b"payload"].concat());
    drop((client, server));
    scene.end().await;
}

#[tokio::test]
async fn build_refuses_a_header_that_cannot_be_sent() {
    let upstream: Upstream = upstream([Backend::new(named("a").await)]);
    for send in [
        SendProxy::v2().tlv(Tlv::UNIQUE_ID, &[0; 129]),
        SendProxy::v2().tlv(0xe0, &[0; 65536]),
    ] {
        let listener = Listener::new(loopback(), &upstream).send_proxy(send);
        let error = Proxy::builder().listener(listener).build().unwrap_err();
        assert!(matches!(error, BuildError::SendProxy { .. }), "{error}");
    }
    let protocol = ProxyProtocol::required(here()).timeout(Duration::ZERO);
    let listener = Listener::new(loopback(), &upstream).preread(Arc::new(protocol));
    let error = Proxy::builder().listener(listener).build().unwrap_err();
    assert!(matches!(error, BuildError::ZeroTimeout { .. }), "{error}");
}
