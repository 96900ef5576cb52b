//! Prelude: the first bytes, for those who want to see them before a backend is picked, and those that we send.

use std::io;

use lb_core::Escaped;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;
use tracing::debug;

use super::Session;
use crate::hooks::CloseReason;
use crate::net::stream::Stream;
use crate::preread::{Opening, Prelude, PreludeError, Reading};
use crate::relay::Ahead;
use crate::upstream::Header;

/// What is read at once at first; most preludes are shorter.
const FIRST_READ: usize = 1024;

/// Bytes that were read before there was a backend. Without a prelude there are none, and nothing was allocated.
#[derive(Debug, Default)]
pub(super) struct First {
    bytes: Vec<u8>,
    /// What the preludes consumed.
    consumed: usize,
    /// How much of the rest is ours and not the client's.
    announced: usize,
}

impl Session {
    /// Lets every prelude of the listener see what it wants to see.
    pub(super) async fn prelude(&mut self) -> Result<First, CloseReason> {
        let mut first = First::default();
        if self.route().preludes.is_empty() {
            return Ok(first);
        }
        let route = &self.slot.entrance.route;
        let mut opening = Opening {
            connection: self.connection(),
            upstream: None,
            is_kept: route.hooks.is_some() || route.passes_tlvs,
        };
        for prelude in &route.preludes {
            let limit = prelude.timeout().unwrap_or(route.prelude_timeout);
            let satisfied = first.satisfy(&**prelude, &mut opening, &self.client);
            let read = timeout(limit, satisfied).await;
            if let Err(error) = read.map_err(|_| CloseReason::PreludeTimeout)? {
                debug!(client.addr = %self.client_addr, error = %Escaped(&error), "First bytes refused");
                // Probes of ports and of health come and go without a byte.
                if !first.bytes.is_empty() {
                    self.report_refusal(CloseReason::Prelude, Some(&error));
                }
                return Err(CloseReason::Prelude);
            }
        }
        self.client_addr = opening.connection.client;
        self.identity = opening.connection.identity;
        self.upstream = opening.upstream;
        Ok(first)
    }

    /// Lets the embedder choose the upstream.
    pub(super) fn choose(&mut self) {
        if let Some(hooks) = &self.route().hooks
            && let Some(upstream) = hooks.upstream(&self.connection())
        {
            self.upstream = Some(upstream);
        }
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
        client: &Stream,
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
    async fn read(&mut self, client: &Stream, room: usize) -> io::Result<usize> {
        let before = self.bytes.len();
        let more = room.min(FIRST_READ.max(before));
        loop {
            client.ready(Interest::READABLE).await?;
            self.bytes.resize(before + more, 0);
            let bytes = &mut self.bytes[before..];
            let read = client.try_read(|| Ok(recv(client, bytes, RecvFlags::empty())?.0));
            self.bytes
                .truncate(before + read.as_ref().map_or(0, |n| *n));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Puts a PROXY protocol header before everything else, if the upstream sends one or leaves it to a listener that
    /// does.
    pub(super) fn announce(&mut self, session: &Session) {
        let header = session.upstream().header();
        let sends = match &header {
            Header::OfListener => session.route().send_proxy.as_ref(),
            Header::Own(own) => own.as_deref(),
        };
        if let Some(sends) = sends {
            let header = sends.header(&session.connection());
            self.announced = header.len();
            self.bytes.splice(..self.consumed, header);
            self.consumed = 0;
        }
    }

    /// What is left for the backend, to be sent before anything else.
    pub(super) fn into_ahead(self) -> Ahead {
        let Self {
            bytes,
            consumed,
            announced,
        } = self;
        Ahead {
            bytes,
            consumed,
            announced,
        }
    }
}
