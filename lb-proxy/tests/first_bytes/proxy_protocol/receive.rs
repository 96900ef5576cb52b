//! Listeners that receive PROXY headers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::access::Access;
use lb_proxy::proxy_protocol::{Command, ProxyProtocol, Tlv, TrustedNetworks, Untrusted};
use test_support::deadline::within;
use test_support::streams::assert_reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Scene, claimed, elsewhere, ends, here, v1, v2};

#[tokio::test]
async fn a_trusted_header_sets_the_client_address() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    let tlvs = [
        Tlv::new(Tlv::AUTHORITY, b"example.com"),
        Tlv::new(0xe0, b"own"),
    ];
    for (header, tlv) in [
        (v1(Some(claimed())), None),
        (v2(Some(claimed()), &tlvs), Some(&b"own"[..])),
    ] {
        let (received, connection) = scene.serve(&[&header, &b"payload"[..]].concat()).await;
        assert_eq!(received, b"payload");
        assert_eq!(connection.client, claimed().source);
        assert_eq!(connection.destination(), claimed().destination);
        assert_eq!(connection.local, scene.proxy.addr);
        let kept = connection.proxy_header().unwrap();
        assert_eq!(kept.addresses, Some(claimed()));
        assert_eq!(kept.tlv(0xe0), tlv);
        assert_eq!(kept.authority(), tlv.map(|_| "example.com"));
        assert_eq!(
            scene.seen.hashed.lock().unwrap().pop(),
            Some(claimed().source)
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn after_a_header_without_addresses_the_peer_is_the_client() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    for header in [v1(None), v2(None, &[])] {
        let (received, connection) = scene.serve(&[&header, &b"x"[..]].concat()).await;
        assert_eq!(received, b"x");
        assert_eq!(connection.client, connection.peer);
        assert_eq!(connection.destination(), scene.proxy.addr);
    }
    let (_, connection) = scene.serve(&v2(None, &[])).await;
    let command = connection.proxy_header().unwrap().command;
    assert_eq!(command, Command::Local);
    scene.end().await;
}

#[tokio::test]
async fn access_rules_apply_to_the_client_of_the_header() {
    let denied: IpAddr = claimed().source.ip();
    let scene = Scene::with(|listener| {
        listener
            .preread(Arc::new(ProxyProtocol::required(here())))
            .access(Access::new().deny(denied))
    })
    .await;
    let mut client = scene.proxy.connect().await;
    client.write_all(&v1(Some(claimed()))).await.unwrap();
    assert_reset(&mut client).await;
    assert_eq!(scene.proxy.metrics().access_denied, 1);
    let other = ends("192.0.2.2:1", "198.51.100.1:443");
    let (received, _) = scene.serve(&v1(Some(other))).await;
    assert_eq!(received, b"");
    scene.end().await;
}

#[tokio::test]
async fn no_sender_is_believed_by_default_and_untrusted_senders_are_refused() {
    for trusted in [TrustedNetworks::default(), elsewhere()] {
        let scene = Scene::receiving(ProxyProtocol::required(trusted.clone())).await;
        for bytes in [v1(Some(claimed())), v2(Some(claimed()), &[]), b"GET".into()] {
            scene.refuses(&bytes).await;
        }
        assert_eq!(*scene.seen.accepted.lock().unwrap(), []);
        scene.end().await;

        // An optional header that is not believed must not reach the backend, which might believe it.
        let scene = Scene::receiving(ProxyProtocol::optional(trusted)).await;
        for header in [v1(Some(claimed())), v2(Some(claimed()), &[]), v2(None, &[])] {
            scene.refuses(&[&header, &b"payload"[..]].concat()).await;
        }
        let (received, connection) = scene.serve(b"PLAIN").await;
        assert_eq!(received, b"PLAIN");
        assert_eq!(connection.client, connection.peer);
        scene.end().await;
    }
}

#[tokio::test]
async fn an_optional_header_may_be_missing_but_not_invalid() {
    let scene = Scene::receiving(ProxyProtocol::optional(here())).await;
    for bytes in [&b"P"[..], b"\r"] {
        let bytes = [bytes, b"LAIN"].concat();
        let (received, connection) = scene.serve(&bytes).await;
        assert_eq!(received, bytes);
        assert_eq!(connection.client, connection.peer);
    }
    let (received, connection) = scene.serve(&v2(Some(claimed()), &[])).await;
    assert_eq!(received, b"");
    assert_eq!(connection.client, claimed().source);
    let mut broken = v2(Some(claimed()), &[]);
    *broken.last_mut().unwrap() ^= 1;
    scene.refuses(&broken).await;
    scene.refuses(b"PROXY TCP4 nonsense\r\n").await;
    scene.end().await;
}

#[tokio::test]
async fn an_unbelieved_header_can_be_dropped() {
    let protocol = ProxyProtocol::required(elsewhere()).untrusted(Untrusted::Disbelieve);
    let scene = Scene::receiving(protocol).await;
    let bytes = [&v2(Some(claimed()), &[])[..], b"payload"].concat();
    let (received, connection) = scene.serve(&bytes).await;
    assert_eq!(received, b"payload");
    assert_eq!(connection.client, connection.peer);
    assert_eq!(connection.proxy_header(), None);
    // What it said can still be logged.
    let sent = connection.unverified_proxy_header().unwrap();
    assert_eq!(sent.addresses, Some(claimed()));
    scene.refuses(b"no header").await;
    scene.end().await;
}

#[tokio::test]
async fn a_header_split_at_every_byte_is_read() {
    let scene = Scene::receiving(ProxyProtocol::required(here())).await;
    let tlvs = [Tlv::new(Tlv::UNIQUE_ID, b"42")];
    for header in [v1(Some(claimed())), v2(Some(claimed()), &tlvs)] {
        let stream = [&header[..], b"payload"].concat();
        let in_two = (1..stream.len()).map(|at| vec![&stream[..at], &stream[at..]]);
        for pieces in in_two.chain([stream.chunks(1).collect()]) {
            let mut client = scene.proxy.connect().await;
            client.set_nodelay(true).unwrap();
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            let accepted = within("the connection", scene.backend.accept()).await;
            let mut payload = [0; 7];
            accepted.unwrap().0.read_exact(&mut payload).await.unwrap();
            assert_eq!(&payload, b"payload");
            let connection = scene.seen.accepted.lock().unwrap().pop().unwrap();
            assert_eq!(connection.client, claimed().source);
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_header_that_is_never_finished_ends_by_its_deadline() {
    let quick = Duration::from_millis(100);
    let scene = Scene::receiving(ProxyProtocol::required(here()).timeout(quick)).await;
    for start in [&b""[..], b"PROXY TCP4 192.0.2.1 "] {
        let mut client = scene.proxy.connect().await;
        client.write_all(start).await.unwrap();
        assert_reset(&mut client).await;
    }
    let metrics = scene.proxy.metrics();
    assert_eq!((metrics.preread_timeouts, metrics.connect_attempts), (2, 0));
    scene.end().await;
}
