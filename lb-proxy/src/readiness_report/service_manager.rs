//! Reports of readiness to systemd: `Type=notify` and `WatchdogSec=`.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use super::notify::notify_service_manager;

/// The service manager that started the process, if it asks for notifications (`NOTIFY_SOCKET`).
#[derive(Debug)]
pub(super) struct ServiceManager {
    /// `WATCHDOG_USEC`: the service manager ends a process that is silent for longer.
    watchdog: Option<Duration>,
    /// Lines that systemd had no room for: at most one of a kind.
    waiting: Vec<String>,
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
            waiting: Vec::new(),
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

    /// The control loop and the workers are alive. Called regularly, so it sends what had to wait as well.
    pub(super) fn alive(&mut self) {
        match self.watchdog {
            Some(_) => self.notify(&[NotifyState::Watchdog]),
            None => self.send(),
        }
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        for state in states {
            let line = state.to_string();
            // Only the last word counts.
            self.waiting.retain(|waiting| key(waiting) != key(&line));
            self.waiting.push(line);
        }
        self.send();
    }

    /// Sends what waits. What systemd has no room for waits for the next call.
    fn send(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let sent = notify_service_manager(&self.waiting.join("\n"));
        let must_wait = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if !sent.as_ref().is_err_and(must_wait) {
            self.waiting.clear();
        }
        if let Err(error) = &sent
            && !self.failed
        {
            warn!(%error, "Service manager not notified");
        }
        self.failed = sent.is_err();
    }
}

/// What a line is about.
fn key(line: &str) -> &str {
    line.split_once('=').map_or(line, |(key, _)| key)
}

/// `WATCHDOG_USEC`, whatever process it is for.
fn watchdog_of_any_process() -> Option<Duration> {
    let microseconds = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    Some(Duration::from_micros(microseconds)).filter(|watchdog| !watchdog.is_zero())
}
