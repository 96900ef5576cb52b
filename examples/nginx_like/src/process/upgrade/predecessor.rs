//! The process of the old binary, as the new one sees it.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use lb_core::Escaped;
use lb_proxy::Handle;
use lb_proxy::reports::Phase;
use lb_proxy::settings::InheritableSockets;
use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tracing::info;

use super::message::{COMMITTED, Handover, READY, receive_sockets};
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
        Ok((Self { channel, version }, sockets))
    }

    /// Tells the process that this one begins to end. Returns whether it serves on.
    pub(super) fn leave(&self) -> bool {
        let mut shut_down = [PollFd::new(&self.channel, PollFlags::RDHUP)];
        let has_left = poll(&mut shut_down, Some(&Timespec::default())).is_ok_and(|left| left > 0);
        // An error means that the process has ended.
        let told = self.channel.shutdown(Shutdown::Write);
        !has_left && told.is_ok()
    }

    /// Tells the process when the server of `handle` accepts. Requests [`Task::PredecessorCommitted`] when it knows,
    /// or has ended, and then [`Task::PredecessorEnded`] when it ends.
    pub(crate) async fn follow(&self, handle: Handle, tasks: UnboundedSender<Task>) {
        handle.reached(Phase::Serving).await;
        let version = Escaped(self.version.as_deref().unwrap_or("unknown")).to_string();
        info!(%version, "Accepting with the sockets of the old binary");
        let ended = self.wait_for_commit().await;
        let _ = tasks.send(Task::PredecessorCommitted);
        if let Some(mut channel) = ended {
            // Nothing else is sent.
            let _ = channel.read_u8().await;
        }
        let _ = tasks.send(Task::PredecessorEnded);
    }

    /// Says that this process accepts. `None` if the other has ended.
    async fn wait_for_commit(&self) -> Option<UnixStream> {
        let mut channel = self.channel().ok()?;
        channel.write_u8(READY).await.ok()?;
        while channel.read_u8().await.ok()? != COMMITTED {}
        Some(channel)
    }

    fn channel(&self) -> io::Result<UnixStream> {
        let channel = self.channel.try_clone()?;
        channel.set_nonblocking(true)?;
        UnixStream::from_std(channel)
    }
}
