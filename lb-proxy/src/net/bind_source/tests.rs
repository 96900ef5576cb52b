use std::net::{Ipv4Addr, TcpListener};

use super::*;

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[test]
fn source_addresses_are_used_in_turn_and_one_without_a_free_port_is_skipped() {
    let listener = TcpListener::bind(any_port()).unwrap();
    let to = listener.local_addr().unwrap();
    let sources = |source: &BindSource| {
        let mut seen = Vec::new();
        for _ in 0..4 {
            let _socket = source.connect(to, &SocketOptions::default()).unwrap();
            seen.push(listener.accept().unwrap().1.ip().to_string());
        }
        seen.sort();
        seen.dedup();
        seen
    };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let two = BindSource::any()
        .addr(ip("127.0.0.2"))
        .addr(ip("127.0.0.3"));
    assert_eq!(sources(&two), ["127.0.0.2", "127.0.0.3"]);
    // A documentation address, which no machine has: the kernel answers as if no port were free.
    let unassigned = BindSource::any().addr(ip("192.0.2.1"));
    assert!(unassigned.connect(to, &SocketOptions::default()).is_err());
    assert_eq!(sources(&unassigned.addr(ip("127.0.0.4"))), ["127.0.0.4"]);
    let mapped = BindSource::any().addr(ip("::ffff:127.0.0.5"));
    assert_eq!(sources(&mapped), ["127.0.0.5"]);
}

#[test]
fn no_connection_is_made_to_a_backend_of_a_family_without_a_source_address() {
    let listener = TcpListener::bind(any_port()).unwrap();
    let to = listener.local_addr().unwrap();
    let other_family = BindSource::any().addr("::1".parse().unwrap());
    let error = other_family.connect(to, &SocketOptions::default());
    let error = error.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    assert!(error.to_string().contains("no IPv4 address"), "{error}");
    listener.set_nonblocking(true).unwrap();
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), to.port());
    let source = BindSource::any().addr("127.0.0.6".parse().unwrap());
    let _socket = source.connect(mapped, &SocketOptions::default()).unwrap();
}

#[test]
fn a_source_port_is_used_for_connections_to_different_backends_and_again() {
    let [one, other] = [(); 2].map(|()| TcpListener::bind(any_port()).unwrap());
    let port = {
        let free = TcpListener::bind(any_port()).unwrap();
        free.local_addr().unwrap().port()
    };
    let from = SocketAddr::from(([127, 0, 0, 7], port));
    let source = BindSource::any().addr_and_port(from);
    for _ in 0..2 {
        let connect = |listener: &TcpListener| {
            let to = listener.local_addr().unwrap();
            let socket = source.connect(to, &SocketOptions::default()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(peer, from);
            (socket, accepted)
        };
        let (first, second) = (connect(&one), connect(&other));
        // This side closes first, so it waits in TIME_WAIT.
        drop((first.0, second.0));
    }
}

#[test]
fn a_missing_interface_is_an_error() {
    let source = BindSource::any().interface("no-such-device");
    let error = source.connect(any_port(), &SocketOptions::default());
    let error = error.unwrap_err();
    let errno = Errno::from_io_error(&error);
    assert!(matches!(errno, Some(Errno::NODEV | Errno::PERM)), "{error}");
}
