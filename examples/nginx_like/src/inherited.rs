//! Sockets that were open before the process was: systemd's socket activation.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use crate::cli::say;

/// Listening sockets that systemd passed on in `LISTEN_FDS`, by their address.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Takes what the environment tells of. What is no listening TCP socket is left alone, with a warning.
    pub(crate) fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for i in 0..passed.len() {
            let taken = passed.take_tcp_listener(i).and_then(|socket| {
                let addr = socket.as_ref().map(TcpListener::local_addr).transpose()?;
                Ok(addr.zip(socket))
            });
            match taken {
                Ok(socket) => sockets.extend(socket),
                Err(error) => say(&format!("[warn] inherited socket {i} is ignored: {error}")),
            }
        }
        Self(sockets)
    }

    /// The socket that listens on `addr`, if one was passed on.
    pub(crate) fn at(&mut self, addr: SocketAddr) -> Option<TcpListener> {
        let i = self.0.iter().position(|(other, _)| *other == addr)?;
        Some(self.0.swap_remove(i).1)
    }

    /// Names the sockets that no `listen` asked for.
    pub(crate) fn warn_of_rest(&self) {
        for (addr, _) in &self.0 {
            say(&format!(
                "[warn] no \"listen\" has the address {addr} of an inherited socket"
            ));
        }
    }
}
