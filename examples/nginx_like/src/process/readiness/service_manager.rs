//! Reports of readiness to systemd: `Type=notify` and `WatchdogSec=`.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The service manager that started the process, if it asks for notifications (`NOTIFY_SOCKET`).
#[derive(Debug)]
pub(crate) struct ServiceManager {
    /// `WATCHDOG_USEC`: the service manager ends a process that is silent for longer.
    watchdog: Option<Duration>,
    failed: bool,
}

impl ServiceManager {
    /// `None` if no service manager asks for notifications.
    pub(super) fn of_process(is_upgraded: bool) -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        // `WATCHDOG_PID` is the id of the first process.
        let watchdog = match is_upgraded {
            true => watchdog_of_any_process(),
            false => sd_notify::watchdog_enabled(),
        };
        Some(Self {
            watchdog,
            failed: false,
        })
    }

    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The process serves. That it has backends is no part of the start: a unit must not fail to start for want of DNS.
    pub(super) fn serving(&mut self) {
        self.notify(&[NotifyState::Ready]);
    }

    /// The text that `systemctl status` shows.
    pub(super) fn status(&mut self, status: &str) {
        self.notify(&[NotifyState::Status(status)]);
    }

    /// The shutdown has begun.
    pub(super) fn stopping(&mut self) {
        self.notify(&[NotifyState::Stopping]);
    }

    /// The control loop and the workers are alive.
    pub(super) fn alive(&mut self) {
        if self.watchdog.is_some() {
            self.notify(&[NotifyState::Watchdog]);
        }
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        let sent = sd_notify::notify(states);
        if let Err(error) = &sent
            && !self.failed
        {
            warn!(%error, "Service manager not notified");
        }
        self.failed = sent.is_err();
    }
}

/// `WATCHDOG_USEC`, whatever process it is for.
fn watchdog_of_any_process() -> Option<Duration> {
    let microseconds = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(microseconds)).filter(|watchdog| !watchdog.is_zero())
}
