//! Both IP families, and the errors for refused addresses.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::common::exchange;
use echo_server::{listen, listen_on, serve};
use socket2::SockRef;
use tokio::net::TcpListener;

#[tokio::test]
async fn both_families_reach_one_listener() {
    let listener = listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, "n"));
    let loopback = |ip: IpAddr| SocketAddr::new(ip, addr.port());
    assert_eq!(
        exchange(loopback(Ipv4Addr::LOCALHOST.into()), b"four\n").await,
        b"n: four\n"
    );
    if has_ipv6().await {
        assert!(addr.is_ipv6());
        assert_eq!(
            exchange(loopback(Ipv6Addr::LOCALHOST.into()), b"six\n").await,
            b"n: six\n"
        );
    }
}

#[tokio::test]
async fn a_given_address_is_the_only_one() {
    let v4 = listen_on((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    assert_eq!(v4.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    if has_ipv6().await {
        let v6 = listen_on((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        assert!(SockRef::from(&v6).only_v6().unwrap());
    }
}

#[tokio::test]
async fn a_taken_port_is_refused_with_advice() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = holder.local_addr().unwrap();
    let error = listen_on(addr).unwrap_err();
    assert_eq!((error.kind(), error.addr()), (ErrorKind::AddrInUse, addr));
    let message = error.to_string();
    let start = format!("cannot listen on {addr}: ");
    assert!(message.starts_with(&start), "{message}");
    let advice = format!("port {} is taken: choose another", addr.port());
    assert!(message.contains(&advice), "{message}");
    listen(addr.port()).unwrap_err();
}

#[tokio::test]
async fn an_address_of_another_machine_is_refused_with_advice() {
    // 192.0.2.0/24 is reserved for documentation (RFC 5737); no interface has it.
    let error = listen_on("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("no interface of this machine has the address")
    );
}

async fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok()
}
