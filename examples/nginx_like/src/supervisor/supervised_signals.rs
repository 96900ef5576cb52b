//! Signals to the supervisor.

use std::io;

use rustix::process::Signal;
use tokio::select;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

/// Signals to the supervisor.
#[derive(Debug)]
pub(super) struct SupervisedSignals {
    child: SignalStream,
    hangup: SignalStream,
    interrupt: SignalStream,
    quit: SignalStream,
    reopen: SignalStream,
    terminate: SignalStream,
    upgrade: SignalStream,
    window: SignalStream,
}

/// What has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrived {
    /// A child has ended, perhaps an orphan that was passed on.
    Child,
    /// A signal for the server.
    Forward(Signal),
}

impl SupervisedSignals {
    /// Installs the handlers. From now on the signals do not end this process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reopen: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            upgrade: signal(SignalKind::user_defined2())?,
            window: signal(SignalKind::window_change())?,
        })
    }

    pub(super) async fn next(&mut self) -> Arrived {
        select! {
            _ = self.child.recv() => Arrived::Child,
            _ = self.hangup.recv() => Arrived::Forward(Signal::HUP),
            _ = self.interrupt.recv() => Arrived::Forward(Signal::INT),
            _ = self.quit.recv() => Arrived::Forward(Signal::QUIT),
            _ = self.reopen.recv() => Arrived::Forward(Signal::USR1),
            _ = self.terminate.recv() => Arrived::Forward(Signal::TERM),
            _ = self.upgrade.recv() => Arrived::Forward(Signal::USR2),
            _ = self.window.recv() => Arrived::Forward(Signal::WINCH),
        }
    }
}
