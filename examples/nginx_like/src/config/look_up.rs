//! Names that are looked up while the configuration is read, as in nginx.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};

use crate::syntax::address::AddressError;

/// The addresses of a name, those of IPv4 first.
pub(super) fn look_up(name: &str) -> Result<Vec<IpAddr>, AddressError> {
    let found = (name, 0).to_socket_addrs();
    let found = found.map_err(|_| AddressError::HostNotFound)?;
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in found.map(|addr| addr.ip()) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips.sort_by_key(IpAddr::is_ipv6);
    // A machine without IPv6 may list its loopback address all the same.
    let is_missing =
        |ip: &IpAddr| ip.is_ipv6() && ip.is_loopback() && UdpSocket::bind((*ip, 0)).is_err();
    if ips.iter().any(IpAddr::is_ipv4) {
        ips.retain(|ip| !is_missing(ip));
    }
    match ips.is_empty() {
        true => Err(AddressError::HostNotFound),
        false => Ok(ips),
    }
}
