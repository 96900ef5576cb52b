//! The signals of nginx's master process.

use lb_proxy::Handle;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::control::{Control, Task};
use super::error::StartError;
use super::readiness::SharedReadyFile;
use crate::session_log::shutdown;

/// Streams of the signals that the process handles.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
    terminate: Signal,
    upgrade: Signal,
    window: Signal,
}

impl Signals {
    /// Installs the handlers. From now on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, StartError> {
        let listen = |kind| {
            signal(kind).map_err(|source| StartError::System {
                call: "sigaction()".to_owned(),
                source,
            })
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            reopen: listen(SignalKind::user_defined1())?,
            terminate: listen(SignalKind::terminate())?,
            upgrade: listen(SignalKind::user_defined2())?,
            window: listen(SignalKind::window_change())?,
        })
    }

    /// Handles signals until it is dropped. It never waits for a file.
    pub(crate) async fn follow(
        mut self,
        handle: Handle,
        control: Control,
        ready_file: SharedReadyFile,
    ) {
        loop {
            select! {
                _ = self.hangup.recv() => control.request(Task::Reload),
                _ = self.interrupt.recv() => {
                    info!("SIGINT received: exiting");
                    shutdown::note_fast();
                    ready_file.leave();
                    handle.abort();
                }
                _ = self.quit.recv() => {
                    info!("SIGQUIT received: shutting down gracefully");
                    ready_file.leave();
                    handle.shutdown();
                }
                _ = self.reopen.recv() => control.request(Task::Reopen),
                _ = self.terminate.recv() => {
                    info!("SIGTERM received: exiting");
                    shutdown::note_fast();
                    ready_file.leave();
                    handle.abort();
                }
                _ = self.upgrade.recv() => {
                    warn!("SIGUSR2 ignored: another binary cannot take over");
                }
                // nginx stops its workers. A terminal that changes its size must not do that.
                _ = self.window.recv() => {}
            }
        }
    }
}
