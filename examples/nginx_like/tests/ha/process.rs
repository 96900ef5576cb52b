//! Processes of the laboratory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a state may take to come about: far longer than a busy machine needs.
const DEADLINE: Duration = Duration::from_secs(30);

/// A process, and those that it has started. `Drop` ends them.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`. What it prints goes to the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Self {
            child: command.spawn().unwrap(),
        }
    }

    /// Sends `signal` to the process and to all that it has started.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for id in self.ids() {
            send(id, signal);
        }
    }

    /// Its id, then those of its descendants.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids = vec![self.child.id()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            let children = format!("/proc/{id}/task/{id}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            ids.extend(
                children
                    .split_whitespace()
                    .map(|id| id.parse::<u32>().unwrap()),
            );
            next += 1;
        }
        ids
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal_all(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The process may have ended in the meantime.
pub(crate) fn send(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let _ = kill_process(id.unwrap(), signal);
}

/// Polls `condition` until it holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what} took too long");
        sleep(Duration::from_millis(5));
    }
}
