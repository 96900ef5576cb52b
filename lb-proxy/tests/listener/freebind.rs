//! Addresses that no interface has.

use std::io;
use std::net::SocketAddr;

use lb_proxy::errors::BindError;
use lb_proxy::{Listener, Proxy, Server, Workers};
use test_support::nodes::named;
use test_support::proxy::round_robin;
use test_support::sockets::reserved_port;

#[tokio::test]
async fn an_address_that_no_interface_has_is_bound_where_the_listener_says_so() {
    let upstream = round_robin("pool", named("a").await);
    let (_reserved, port) = reserved_port();
    for ip in ["192.0.2.77", "2001:db8:7::7"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), port);
        for workers in [1, 2] {
            let bind = async |freebind| -> Result<Server, BindError> {
                let listener = Listener::new(addr, &upstream).freebind(freebind);
                let workers = Workers::Threads(workers);
                let proxy = Proxy::builder().listener(listener).workers(workers);
                proxy.build().unwrap().bind().await
            };
            match bind(false).await {
                Err(BindError::Listen { source, .. }) => {
                    assert_eq!(source.kind(), io::ErrorKind::AddrNotAvailable);
                }
                other => panic!("{ip}: {other:?}"),
            }
            assert_eq!(bind(true).await.unwrap().local_addrs(), [addr]);
        }
    }
}
