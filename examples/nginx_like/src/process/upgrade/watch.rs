//! Follows the process of a new binary on the server's runtime, without blocking.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::settings::InheritableSockets;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::select;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::error;

use super::message::{READY, send_sockets};
use super::successor::Successor;
use crate::process::pidfd;
use crate::process::task::Task;

/// How long a process that did not become ready may take to end after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Hands `sockets` over to the new process, and requests [`Task::SuccessorReady`] when it is ready, [`Task::SuccessorLeaves`] when
/// it begins to end after that, and [`Task::SuccessorEnded`] when it has ended. Ends a process that is not ready within `limit`.
pub(super) async fn watch(
    successor: Arc<Successor>,
    sockets: Vec<InheritableSockets>,
    limit: Duration,
    tasks: UnboundedSender<Task>,
) {
    let pid = successor.pid;
    let channel = select! {
        ready = timeout(limit, hand_over(&successor, sockets, limit)) => match ready {
            Ok(Ok(channel)) => Some(channel),
            Ok(Err(error)) => {
                error!(pid, %error, "Process of the new binary did not start");
                // It most likely ends by itself, and says why.
                let _ = timeout(GRACE, exit_of(&successor)).await;
                None
            }
            Err(_) => {
                error!(pid, ?limit, "Process of the new binary not ready in time");
                None
            }
        },
        () = exit_of(&successor) => None,
    };
    match channel {
        Some(mut channel) => {
            let _ = tasks.send(Task::SuccessorReady);
            // It sends nothing else.
            let _ = channel.read_u8().await;
            let _ = tasks.send(Task::SuccessorLeaves);
        }
        None => end(&successor).await,
    }
    exit_of(&successor).await;
    let _ = tasks.send(Task::SuccessorEnded);
}

/// Sends the sockets, and waits until the process is ready.
async fn hand_over(
    successor: &Arc<Successor>,
    sockets: Vec<InheritableSockets>,
    limit: Duration,
) -> io::Result<UnixStream> {
    let channel = successor.channel.try_clone()?;
    let sent = spawn_blocking(move || {
        channel.set_write_timeout(Some(limit))?;
        send_sockets(&channel, &sockets)?;
        channel.set_nonblocking(true)?;
        Ok::<_, io::Error>(channel)
    });
    let mut channel = UnixStream::from_std(sent.await??)?;
    match channel.read_u8().await? {
        READY => Ok(channel),
        _ => Err(io::Error::other(
            "it answers by a message of another version of the protocol: restart the server instead",
        )),
    }
}

/// Ends a process that did not become ready.
async fn end(successor: &Arc<Successor>) {
    for signal in [Signal::TERM, Signal::KILL] {
        let signalled = Arc::clone(successor);
        // The helper may be asked.
        let sent = spawn_blocking(move || signalled.signal(signal)).await;
        if let Ok(Err(error)) = sent {
            error!(pid = successor.pid, %error, "Process of the new binary cannot be ended");
        }
        select! {
            () = exit_of(successor) => return,
            () = sleep(GRACE) => {}
        }
    }
}

/// Completes when the process has ended. Cancel-safe.
async fn exit_of(successor: &Successor) {
    loop {
        let watched = successor.pidfd.try_clone().and_then(pidfd::register);
        if let Ok(watched) = watched
            && watched.readable().await.is_ok()
        {
            return;
        }
        // Without free descriptors.
        sleep(GRACE).await;
    }
}
