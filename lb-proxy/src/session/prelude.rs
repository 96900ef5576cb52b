//! Prelude: the first bytes, for those who want to see them before a backend is picked.

use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::Session;
use crate::hooks::{CloseReason, Connection};
use crate::metrics::Counters;
use crate::prelude::{Opening, Prelude, PreludeError, Reading};
use crate::relay::reset_on_close;

/// What is read at once at first; most preludes are shorter.
const FIRST_READ: usize = 1024;

/// Bytes that were read before there was a backend. Without a prelude there are none, and nothing was allocated.
#[derive(Debug, Default)]
pub(super) struct First {
    bytes: Vec<u8>,
    /// What the preludes consumed.
    consumed: usize,
}

impl Session {
    /// Lets every prelude of the listener see what it wants to see.
    pub(super) async fn prelude(&mut self) -> Result<First, CloseReason> {
        let mut first = First::default();
        if self.route().preludes.is_empty() {
            return Ok(first);
        }
        let mut opening = Opening {
            connection: self.connection(),
            upstream: None,
        };
        let route = &self.slot.entrance.route;
        let all = async {
            for prelude in &route.preludes {
                first
                    .satisfy(&**prelude, &mut opening, &self.client)
                    .await?;
            }
            Ok(())
        };
        let read = timeout(route.prelude_timeout, all).await;
        read.map_err(|_| CloseReason::PreludeTimeout)?
            .map_err(|error: PreludeError| {
                debug!(client.addr = %self.client_addr, %error, "First bytes refused");
                CloseReason::Prelude
            })?;
        let Connection { peer, client, .. } = opening.connection;
        if client != peer {
            self.client_addr = client;
            self.peer = Some(Box::new(peer));
        }
        self.upstream = opening.upstream;
        Ok(first)
    }
}

impl First {
    /// Whether nothing is left for the backend.
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    /// Reads until `prelude` has seen enough.
    async fn satisfy(
        &mut self,
        prelude: &dyn Prelude,
        opening: &mut Opening,
        client: &TcpStream,
    ) -> Result<(), PreludeError> {
        loop {
            if let Reading::Done { consumed } = prelude.read(self.rest(), opening)? {
                self.consumed = (self.consumed + consumed).min(self.bytes.len());
                return Ok(());
            }
            let room = prelude.limit().saturating_sub(self.rest().len());
            if room == 0 {
                return Err(PreludeError::new("longer than is allowed"));
            }
            let read = self.read(client, room).await;
            if read.map_err(PreludeError::new)? == 0 {
                return Err(PreludeError::new("ended before it was complete"));
            }
        }
    }

    /// Reads some more bytes, at most `room`.
    async fn read(&mut self, client: &TcpStream, room: usize) -> io::Result<usize> {
        let before = self.bytes.len();
        let more = room.min(FIRST_READ.max(before));
        loop {
            client.readable().await?;
            self.bytes.resize(before + more, 0);
            let read = client.try_read(&mut self.bytes[before..]);
            self.bytes
                .truncate(before + read.as_ref().map_or(0, |n| *n));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Sends what is left to the backend, before anything else.
    pub(super) async fn send(
        self,
        backend: &TcpStream,
        session: &Session,
        counters: &Counters,
    ) -> Result<(), CloseReason> {
        if self.is_empty() {
            return Ok(());
        }
        let mut rest = self.rest();
        let sent = async {
            while !rest.is_empty() {
                backend.writable().await?;
                match backend.try_write(rest) {
                    Ok(n) => {
                        session.to_backend(counters).add(n as u64);
                        rest = &rest[n..];
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let sent = match session.route().timeouts.idle {
            Some(idle) => timeout(idle, sent).await,
            None => Ok(sent.await),
        };
        let reason = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => CloseReason::BackendReset,
            Err(_) => CloseReason::IdleTimeout,
        };
        reset_on_close(backend);
        Err(reason)
    }
}
