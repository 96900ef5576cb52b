//! A connection as the kernel sees it, and urgent data.

use std::io;

use nix::libc;
use nix::{getsockopt_impl, sockopt_impl};
use rustix::net::{SendFlags, send};
use tokio::net::TcpStream;

use crate::deadline::eventually;

sockopt_impl!(
    /// The first words of the kernel's `struct tcp_info`.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 37]
);

fn tcp_info(stream: &TcpStream) -> [u32; 37] {
    nix::sys::socket::getsockopt(stream, TcpInfo).unwrap()
}

/// Sends a byte as urgent (`MSG_OOB`).
///
/// # Errors
///
/// What `send` returns.
pub fn send_urgent(stream: &TcpStream, byte: u8) -> io::Result<usize> {
    Ok(send(stream, &[byte], SendFlags::OOB | SendFlags::NOSIGNAL)?)
}

/// The least number of bytes that the peer's kernel has acknowledged. The kernel's own count includes SYN and FIN.
pub fn acknowledged(stream: &TcpStream) -> usize {
    let bytes = tcp_info(stream)[30];
    usize::try_from(bytes).unwrap().saturating_sub(2)
}

/// Completes when the peer's kernel has acknowledged every byte.
pub async fn all_acknowledged(stream: &TcpStream) {
    eventually("the acknowledgement", || {
        let info = tcp_info(stream);
        info[6] == 0 && info[36] == 0
    })
    .await;
}
