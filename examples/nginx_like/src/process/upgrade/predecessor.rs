//! The process of the old binary, as the new one sees it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lb_core::Escaped;
use lb_proxy::Handle;
use lb_proxy::reports::Phase;
use lb_proxy::settings::InheritableSockets;
use nix::sys::signal::SigSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tracing::info;

use super::message::{COMMITTED, Handover, READY, leave_to_peer, receive_sockets};
use crate::process::error::StartError;
use crate::process::task::Task;

/// How long the old process may take to send a socket.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The process of the old binary.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: StdUnixStream,
    /// Its version, if it says so.
    version: Option<String>,
    /// This process has begun to end.
    has_left: AtomicBool,
}

impl Predecessor {
    /// Receives the sockets of the process that started this one, on the standard input, which is empty afterwards.
    ///
    /// To be called before any other thread runs: a helper that is the parent has blocked signals, and they are unblocked here.
    pub(crate) fn connect() -> Result<(Self, Vec<InheritableSockets>), StartError> {
        let failed = StartError::upgrade("receiving the sockets of the old binary's process");
        Self::try_connect().map_err(failed)
    }

    fn try_connect() -> io::Result<(Self, Vec<InheritableSockets>)> {
        SigSet::empty().thread_set_mask()?;
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::net::sockopt::socket_type(&channel)?;
        let channel = StdUnixStream::from(channel);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        channel.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
        let Handover { sockets, version } = receive_sockets(&channel)?;
        let predecessor = Self {
            channel,
            version,
            has_left: AtomicBool::new(false),
        };
        Ok((predecessor, sockets))
    }

    /// Tells the process that this one begins to end. Returns whether it serves on.
    pub(super) fn leave(&self) -> bool {
        // Before the channel is shut down, upon which [`follow`](Self::follow) fails to say anything.
        self.has_left.store(true, SeqCst);
        leave_to_peer(&self.channel)
    }

    /// Tells the process when the server of `handle` accepts. Requests [`Task::PredecessorCommitted`] when it knows,
    /// or has ended, and then [`Task::PredecessorEnded`] when it ends.
    ///
    /// If this process begins to end before, the other one keeps everything, and [`Task::PredecessorEnded`] alone is requested when
    /// that one ends, too.
    pub(crate) async fn follow(&self, handle: Handle, tasks: UnboundedSender<Task>) {
        handle.reached(Phase::Serving).await;
        let mut channel = self.channel().ok();
        if !self.has_left() {
            let version = Escaped(self.version.as_deref().unwrap_or("unknown")).to_string();
            info!(%version, "Accepting with the sockets of the old binary");
            let is_known = ask_to_commit(channel.as_mut()).await.is_some();
            // Without an answer the other process has ended, unless this one has shut the channel down.
            if is_known || !self.has_left() {
                let _ = tasks.send(Task::PredecessorCommitted);
            }
        }
        if let Some(channel) = &mut channel {
            // Of what it sends, only the end matters.
            while channel.read_u8().await.is_ok() {}
        }
        let _ = tasks.send(Task::PredecessorEnded);
    }

    /// Whether this process has begun to end.
    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(SeqCst)
    }

    fn channel(&self) -> io::Result<UnixStream> {
        let channel = self.channel.try_clone()?;
        channel.set_nonblocking(true)?;
        UnixStream::from_std(channel)
    }
}

/// Says that this process accepts. `None` if the other has ended, or this one has begun to.
async fn ask_to_commit(channel: Option<&mut UnixStream>) -> Option<()> {
    let channel = channel?;
    channel.write_u8(READY).await.ok()?;
    while channel.read_u8().await.ok()? != COMMITTED {}
    Some(())
}
