use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

use super::*;

fn listening(ip: impl Into<std::net::IpAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip.into(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn handshake(to: SocketAddr, idle: &IdleSockets) -> Result<(), ConnectError> {
    let (limit, source) = (Duration::from_secs(20), BindSource::any());
    let shaken = shake_hands(to, &source, idle);
    tokio::time::timeout(limit, shaken).await.unwrap()
}

fn idle_count(idle: &IdleSockets) -> usize {
    idle.lock().len()
}

#[tokio::test]
async fn one_socket_serves_one_handshake_after_another_and_the_peer_accepts_none() {
    let idle = IdleSockets::default();
    let peers: Vec<_> = (0..5).map(|_| listening(Ipv4Addr::LOCALHOST)).collect();
    for _ in 0..20 {
        for (_, addr) in &peers {
            handshake(*addr, &idle).await.unwrap();
            assert_eq!(idle_count(&idle), 1);
        }
    }
    #[cfg(target_os = "linux")]
    for (listener, _) in &peers {
        let accepted = listener.accept();
        let kind = accepted.map_err(|error| error.kind()).map(drop);
        assert_eq!(kind, Err(io::ErrorKind::WouldBlock));
    }
}

#[tokio::test]
async fn a_port_that_refuses_is_found_with_a_new_and_a_used_socket() {
    let idle = IdleSockets::default();
    let (open, addr) = listening(Ipv4Addr::LOCALHOST);
    let refusing = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    refusing.bind(&any.into()).unwrap();
    let refused = refusing.local_addr().unwrap().as_socket().unwrap();
    for _ in 0..3 {
        let answer = handshake(refused, &idle).await;
        assert!(
            matches!(&answer, Err(ConnectError::Backend(error, AttemptStep::Answer))
                if error.kind() == io::ErrorKind::ConnectionRefused),
            "{answer:?}"
        );
        assert_eq!(idle_count(&idle), 0);
        handshake(addr, &idle).await.unwrap();
        assert_eq!(idle_count(&idle), 1);
    }
    drop(open);
    assert!(handshake(addr, &idle).await.is_err());
}

#[tokio::test]
async fn sockets_of_both_families_are_kept_apart() {
    let idle = IdleSockets::default();
    let (_v4, v4) = listening(Ipv4Addr::LOCALHOST);
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        // The machine has no IPv6.
        return;
    };
    let v6 = listener.local_addr().unwrap();
    for _ in 0..3 {
        handshake(v4, &idle).await.unwrap();
        handshake(v6, &idle).await.unwrap();
    }
    assert_eq!(idle_count(&idle), 2);
    // A mapped address is one of IPv4.
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), v4.port());
    handshake(mapped, &idle).await.unwrap();
    assert_eq!(idle_count(&idle), 2);
}

#[tokio::test]
async fn a_socket_with_a_source_address_is_not_kept() {
    let idle = IdleSockets::default();
    let (listener, addr) = listening(Ipv4Addr::LOCALHOST);
    let source = BindSource::any().addr(Ipv4Addr::LOCALHOST.into());
    for _ in 0..3 {
        shake_hands(addr, &source, &idle).await.unwrap();
    }
    assert_eq!(idle_count(&idle), 0);
    #[cfg(target_os = "linux")]
    assert!(listener.accept().is_err());
    drop(listener);
}

/// A peer that cannot answer at once: its queue is full.
#[tokio::test]
async fn a_late_answer_is_waited_for() {
    let idle = IdleSockets::default();
    let peer = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    peer.bind(&any.into()).unwrap();
    peer.listen(0).unwrap();
    let addr = peer.local_addr().unwrap().as_socket().unwrap();
    let queued = std::net::TcpStream::connect(addr).unwrap();
    let source = BindSource::any();
    let mut waiting = std::pin::pin!(shake_hands(addr, &source, &idle));
    let early = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    drop((peer.accept().unwrap(), queued));
    // The kernel repeats the SYN after a second.
    let late = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    late.unwrap().unwrap();
    assert_eq!(idle_count(&idle), 1);
    handshake(addr, &idle).await.unwrap();
}

#[tokio::test]
async fn a_port_that_nothing_listens_on_is_never_connected_to_itself() {
    let idle = IdleSockets::default();
    // bind(2) chooses odd ports first, connect(2) even ones. So connect(2) tries the even neighbour of a bound port.
    let even = || {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = held.local_addr().unwrap();
        let addr = SocketAddr::new(addr.ip(), addr.port() & !1);
        TcpListener::bind(addr).is_ok().then_some(addr)
    };
    let dead = std::iter::repeat_with(even)
        .find_map(|found| found)
        .unwrap();
    let (_open, open) = listening(Ipv4Addr::LOCALHOST);
    for _ in 0..15_000 {
        handshake(open, &idle).await.unwrap();
        let answer = handshake(dead, &idle).await;
        assert!(
            matches!(answer, Err(ConnectError::Backend(..))),
            "{answer:?}"
        );
    }
}
