//! Preread: the listener's prereads read the first bytes before a backend is picked.

use std::io;

use lb_core::Escaped;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;
use tracing::debug;

use super::Session;
use super::first_bytes::FirstBytes;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::preread::{Preread, PrereadContext, PrereadError, PrereadStatus};

/// The size of the first read; most first bytes are fewer.
const FIRST_READ: usize = 1024;

impl Session {
    /// Reads until every preread of the listener is done, each within its time-out.
    pub(super) async fn preread(&mut self, first: &mut FirstBytes) -> Result<(), CloseReason> {
        if self.route().prereads.is_empty() {
            return Ok(());
        }
        let route = &self.permit.listener.route;
        let mut context = PrereadContext {
            connection: self.connection(),
            upstream: None,
            server_names: route.server_names.as_deref(),
            is_kept: route.keeps_preread,
        };
        for preread in &route.prereads {
            let limit = preread.timeout().unwrap_or(route.preread_timeout);
            let satisfied = first.satisfy(&**preread, &mut context, &self.client);
            let read = timeout(limit, satisfied).await;
            if let Err(error) = read.map_err(|_| CloseReason::PrereadTimeout)? {
                debug!(client.addr = %self.client_addr, error = %Escaped(&error), "First bytes refused");
                // Port and health probes send no byte; they are not reported.
                if !first.bytes.is_empty() {
                    self.report_refusal(CloseReason::Preread, Some(&error));
                }
                return Err(CloseReason::Preread);
            }
        }
        let PrereadContext {
            connection,
            upstream,
            ..
        } = context;
        self.client_addr = connection.client;
        self.preread = connection.preread;
        self.upstream = upstream;
        Ok(())
    }
}

impl FirstBytes {
    /// Reads until `preread` is done.
    async fn satisfy(
        &mut self,
        preread: &dyn Preread,
        context: &mut PrereadContext<'_>,
        client: &Stream,
    ) -> Result<(), PrereadError> {
        loop {
            if let PrereadStatus::Done { consumed } = preread.read(self.rest(), context)? {
                self.consumed = (self.consumed + consumed).min(self.bytes.len());
                return Ok(());
            }
            let room = preread.limit().saturating_sub(self.rest().len());
            if room == 0 {
                return Err(PrereadError::new("longer than is allowed"));
            }
            let read = self.read(client, room).await;
            if read.map_err(PrereadError::new)? == 0 {
                return Err(PrereadError::new("ended before it was complete"));
            }
        }
    }

    /// Reads once, at most `room` bytes.
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
}
