//! Preread: the listener's prereads read the first bytes before a backend is picked.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use lb_core::Escaped;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;
use tracing::debug;

use super::Session;
use super::first_bytes::FirstBytes;
use crate::close_reason::CloseReason;
use crate::embedder_code::named;
use crate::hooks::{PrereadFailure, PrereadRefusal, RefusalDetail};
use crate::net::stream::Stream;
use crate::net::unix::ShownClient;
use crate::preread::{Preread, PrereadContext, PrereadError, PrereadStatus};

/// The size of the first read; most first bytes are fewer.
const FIRST_READ: usize = 1024;

impl Session {
    /// Reads until the prereads of the listener in `range` are done, each within its time-out.
    pub(super) async fn preread(
        &mut self,
        range: Range<usize>,
        first: &mut FirstBytes,
    ) -> Result<(), CloseReason> {
        if range.is_empty() {
            return Ok(());
        }
        let listener = Arc::clone(&self.permit.listener);
        let route = &listener.route;
        let mut context = PrereadContext {
            connection: self.connection(),
            upstream: self.upstream.take(),
            server_names: route.server_names.as_deref(),
            is_kept: route.keeps_preread,
        };
        for reader in range {
            let preread = &route.prereads[reader];
            let limit = named("Preread::timeout", || preread.timeout());
            let limit = limit.unwrap_or(route.preread_timeout);
            let satisfied = first.satisfy(&**preread, &mut context, &self.client);
            let (failure, error) = match timeout(limit, satisfied).await {
                Ok(Ok(())) => continue,
                Ok(Err((failure, error))) => (failure, Some(error)),
                Err(_) => (PrereadFailure::Timeout, None),
            };
            self.has_unsent = !first.is_empty();
            let reason = match &error {
                Some(error) => {
                    debug!(client.addr = %ShownClient(self.client_addr), error = %Escaped(error), "First bytes refused");
                    // Port and health probes send no byte; they are not reported.
                    if self.has_unsent {
                        self.report_refusal(CloseReason::Preread, Some(error));
                    }
                    CloseReason::Preread
                }
                None => CloseReason::PrereadTimeout,
            };
            self.note_refused_for(|| {
                RefusalDetail::Preread(PrereadRefusal {
                    reader,
                    names_client: named("Preread::names_client", || preread.names_client()),
                    failure,
                    error,
                    bytes: first.rest().to_vec(),
                })
            });
            return Err(reason);
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
    ) -> Result<(), (PrereadFailure, PrereadError)> {
        loop {
            let status = named("Preread::read", || preread.read(self.rest(), context));
            let status = status.map_err(|error| (PrereadFailure::Invalid, error))?;
            if let PrereadStatus::Done { consumed } = status {
                self.consumed = (self.consumed + consumed).min(self.bytes.len());
                return Ok(());
            }
            let limit = named("Preread::limit", || preread.limit());
            let room = limit.saturating_sub(self.rest().len());
            if room == 0 {
                let error = PrereadError::new("longer than is allowed");
                return Err((PrereadFailure::TooLong, error));
            }
            let read = self.read(client, room).await;
            let read = read.map_err(|error| {
                let errno = error.raw_os_error();
                (PrereadFailure::Socket(errno), PrereadError::new(error))
            });
            if read? == 0 {
                let error = PrereadError::new("ended before it was complete");
                return Err((PrereadFailure::Ended, error));
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
