//! Preread: the first bytes, for those who want to see them before a backend is picked, and those that we send.

use std::io;

use lb_core::Escaped;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::time::timeout;
use tracing::debug;

use super::Session;
use crate::close_reason::CloseReason;
use crate::net::stream::Stream;
use crate::preread::{Preread, PrereadContext, PrereadError, PrereadStatus};
use crate::relay::Ahead;
use crate::upstream::send_proxy::HeaderSetting;

/// What is read at once at first; most prereads are shorter.
const FIRST_READ: usize = 1024;

/// Bytes that were read before there was a backend. Without a preread there are none, and nothing was allocated.
#[derive(Debug, Default)]
pub(super) struct First {
    bytes: Vec<u8>,
    /// What the prereads consumed.
    consumed: usize,
    /// How much of the rest is ours and not the client's.
    announced: usize,
}

impl Session {
    /// Lets every preread of the listener see what it wants to see.
    pub(super) async fn preread(&mut self) -> Result<First, CloseReason> {
        let mut first = First::default();
        if self.route().prereads.is_empty() {
            return Ok(first);
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
                // Probes of ports and of health come and go without a byte.
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
        Ok(first)
    }

    /// Lets the listener's route function choose the upstream.
    pub(super) fn choose(&mut self) {
        if let Some(function) = &self.route().function
            && let Some(upstream) = function.choose(&self.connection())
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

    /// Reads until `preread` has seen enough.
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
            HeaderSetting::OfListener => session.route().send_proxy.as_ref(),
            HeaderSetting::Own(own) => own.as_deref(),
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
