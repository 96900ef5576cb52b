//! One probe of one backend.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use lb_core::{Backend, Endpoint};
use tokio::io::AsyncWriteExt;

use super::error::CheckError;
use super::probe_stream::ProbeStream;
use super::settings::{CheckSettings, ProbeHeader};
use crate::net::bind_source::BindSource;
use crate::net::connect::{ConnectError, connect};
use crate::net::handshake::{IdleSockets, shake_hands};
use crate::net::options::SocketOptions;
use crate::net::stream::Stream;
use crate::proxy_protocol::{Addresses, Version, write_v1, write_v2};

/// One probe of one backend, as a [`HealthCheck`](super::HealthCheck) sees it.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    backend: &'a Backend,
    source: &'a ProbeSource,
    header: Option<Version>,
    idle: &'a IdleSockets,
    unmatched: &'a Unmatched,
    /// Instead of the one in the settings.
    port: Option<u16>,
}

/// The beginning of an answer that is not the expected one yet, kept for the case that the time of the probe ends.
#[derive(Debug, Default)]
pub(crate) struct Unmatched(Mutex<Vec<u8>>);

impl Unmatched {
    /// How many bytes are kept: more than a message shows.
    const KEPT: usize = 64;

    fn set(&self, answer: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
        kept.extend_from_slice(&answer[..answer.len().min(Self::KEPT)]);
    }

    /// The error of an answer that came, if one did.
    pub(crate) fn error(&self) -> Option<CheckError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!kept.is_empty()).then(|| CheckError::unexpected(&kept))
    }
}

/// Where the probes of one check come from and go to.
#[derive(Debug)]
pub(crate) struct ProbeSource {
    settings: CheckSettings,
    bind: BindSource,
}

impl ProbeSource {
    pub(crate) fn new(settings: &CheckSettings) -> Self {
        let addrs = settings.source.iter();
        Self {
            settings: settings.clone(),
            bind: addrs.fold(BindSource::any(), |bind, &addr| bind.addr(addr)),
        }
    }
}

impl<'a> Probe<'a> {
    /// A probe that sends a PROXY header of this version first. A handshake alone uses a socket of `idle`.
    pub(crate) const fn new(
        backend: &'a Backend,
        source: &'a ProbeSource,
        header: Option<Version>,
        idle: &'a IdleSockets,
        unmatched: &'a Unmatched,
    ) -> Self {
        Self {
            backend,
            source,
            header,
            idle,
            unmatched,
            port: None,
        }
    }

    /// The same probe at another port, without the PROXY header of sessions.
    #[must_use]
    pub fn at_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        if self.settings().header == ProbeHeader::AsSessions {
            self.header = None;
        }
        self
    }

    /// The backend to probe, as its source reports it.
    pub const fn backend(&self) -> &Backend {
        self.backend
    }

    /// The settings of the check.
    pub const fn settings(&self) -> &CheckSettings {
        &self.source.settings
    }

    /// Where [`connect`](Self::connect) connects to: the backend's address with the
    /// [port](super::CheckSettings::port) of the check, or its unix socket.
    pub fn endpoint(&self) -> Endpoint {
        match (
            self.backend.endpoint(),
            self.port.or_else(|| self.settings().port),
        ) {
            (Endpoint::Tcp(addr), Some(port)) => Endpoint::Tcp(SocketAddr::new(addr.ip(), port)),
            (endpoint, _) => endpoint,
        }
    }

    /// Stores what the backend has answered and a check did not expect, for the message of a probe whose time ends.
    pub(super) fn set_unmatched(&self, answer: &[u8]) {
        self.unmatched.set(answer);
    }

    /// Whether [`connect`](Self::connect) sends a PROXY header.
    pub const fn has_header(&self) -> bool {
        self.header.is_some()
    }

    /// Connects to the backend, from the source address of the check, and sends the PROXY header, if there is one.
    ///
    /// # Errors
    ///
    /// [`CheckError::Connect`] if the backend cannot be reached, [`CheckError::Local`] if this machine has no descriptor
    /// or no port.
    pub async fn connect(&self) -> Result<ProbeStream, CheckError> {
        let mut stream = ProbeStream::new(self.open().await?);
        if let Some(version) = self.header {
            stream.write_all(&header(version, &stream)).await?;
        }
        Ok(stream)
    }

    /// Connects to the backend, and resets the connection instead of completing the handshake, where the system allows it.
    pub(super) async fn shake_hands(&self) -> Result<(), CheckError> {
        let done = match self.endpoint() {
            Endpoint::Tcp(addr) => shake_hands(addr, &self.source.bind, self.idle).await,
            Endpoint::Unix(_) => return self.open().await.map(drop),
        };
        Ok(done?)
    }

    /// The scheduler limits the time.
    async fn open(&self) -> Result<Stream, CheckError> {
        let (to, options) = (self.endpoint(), SocketOptions::default());
        Ok(connect(&to, false, &self.source.bind, &options, None, |_| {}).await?)
    }
}

/// The header of a probe. Version 2 has the command `LOCAL`. Version 1 has none, so the line has the addresses of the probe's
/// own connection, as the specification recommends.
fn header(version: Version, stream: &ProbeStream) -> Vec<u8> {
    let mut header = Vec::with_capacity(108);
    if version == Version::V1 {
        let ends = stream.local_addr().zip(stream.peer_addr());
        let ends = ends.map(|(local, peer)| Addresses::new(local, peer));
        write_v1(ends, &mut header);
    } else {
        let written = write_v2(None, [], false, &mut header);
        written.expect("a header without TLVs is short");
    }
    header
}

impl From<ConnectError> for CheckError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Backend(error, _) => Self::Connect(error),
            ConnectError::Local(error, _) | ConnectError::Shortage(error, _) => Self::Local(error),
            ConnectError::Loop => Self::Local(std::io::ErrorKind::AddrInUse.into()),
            ConnectError::Timeout(_) => Self::Connect(std::io::ErrorKind::TimedOut.into()),
        }
    }
}
