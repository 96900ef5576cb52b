//! The processes of the service.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::task::Poll;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};
use tokio::io::unix::AsyncFd;

use super::descent::{is_descendant, processes_with};
use crate::console::print_line;
use crate::process::daemon;
use crate::process::handled_signals::handles;
use crate::process::pidfd;
use crate::process::send_signal::process_of;
use crate::process::upgrade::invocation;

/// A process of the service. The pidfd means this process for good, whatever process gets its id later.
#[derive(Debug)]
struct ServiceProcess {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// Known once it was reaped. Another process reaps one that is not a child.
    status: Option<ExitStatus>,
}

/// The processes of the service: one, and during an upgrade two or more.
#[derive(Debug, Default)]
pub(super) struct ServiceProcesses {
    processes: Vec<ServiceProcess>,
    main: Option<Pid>,
    /// Signals that wait until the main process, whichever that is by then, has handlers for them.
    held: Vec<Signal>,
}

impl ServiceProcesses {
    /// Whether none is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// The process that `-s` would send signals to.
    pub(super) const fn main(&self) -> Option<Pid> {
        self.main
    }

    /// Adds a server that was started as the main process. It begins with what the files say now, so it gets no signal that the one
    /// before has not handled.
    pub(super) fn add(&mut self, pid: Pid) -> io::Result<()> {
        self.held.clear();
        self.watch(pid)?;
        self.main = Some(pid);
        Ok(())
    }

    /// Makes a process that was added the main one.
    pub(super) const fn set_main(&mut self, pid: Pid) {
        self.main = Some(pid);
    }

    fn watch(&mut self, pid: Pid) -> io::Result<()> {
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let pidfd = pidfd::register(pidfd)?;
        self.processes.push(ServiceProcess {
            pid,
            pidfd,
            status: None,
        });
        Ok(())
    }

    /// Adds a process that descends from this one. Returns whether there is one that is not known yet.
    fn add_descendant(&mut self, pid: Pid) -> bool {
        if self.is_known(pid) || self.watch(pid).is_err() {
            return false;
        }
        // Asked once the pidfd is open: it means the process that was asked about, or one that has ended.
        let is_ours = is_descendant(pid);
        if !is_ours {
            self.processes.pop();
        }
        is_ours
    }

    fn is_known(&self, pid: Pid) -> bool {
        self.processes.iter().any(|known| known.pid == pid)
    }

    /// Makes the process of the pid file the main one, if it descends from this process. Returns whether it is another one than
    /// before.
    pub(super) fn follow(&mut self, pid_file: &Path) -> bool {
        let Ok(pid) = process_of(pid_file) else {
            return false;
        };
        if self.main == Some(pid) || !self.is_known(pid) && !self.add_descendant(pid) {
            return false;
        }
        self.main = Some(pid);
        true
    }

    /// Adds the processes of new binaries and of `daemon on` that have not written the pid file yet. Returns the last one.
    ///
    /// Reads the command line of every process of the machine.
    pub(super) fn add_starting(&mut self) -> Option<Pid> {
        let mut last = None;
        // A helper has the arguments of its server after its own.
        let starting = [invocation::ARGUMENT, daemon::ARGUMENT];
        for pid in processes_with(&starting, invocation::HELPER_ARGUMENT) {
            if self.add_descendant(pid) {
                last = Some(pid);
            }
        }
        last
    }

    /// Waits until a process of the service ends. Waits for ever if there is none.
    pub(super) async fn ended(&self) -> Pid {
        poll_fn(|context| {
            let mut processes = self.processes.iter();
            let ended = processes.find(|process| process.pidfd.poll_read_ready(context).is_ready());
            ended.map_or(Poll::Pending, |process| Poll::Ready(process.pid))
        })
        .await
    }

    /// Removes a process that has ended. Returns its status; `None` if another process has reaped it.
    pub(super) fn remove(&mut self, pid: Pid) -> Option<ExitStatus> {
        self.reap();
        if self.main == Some(pid) {
            self.main = None;
        }
        let position = self.processes.iter().position(|known| known.pid == pid)?;
        self.processes.swap_remove(position).status
    }

    /// Reaps every child that has ended: the service's, and orphans.
    pub(super) fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let mut processes = self.processes.iter_mut();
                    if let Some(process) = processes.find(|process| process.pid == pid) {
                        process.status = Some(ExitStatus::from_raw(status.as_raw()));
                    }
                }
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Sends a signal to the main process, or to all, as without a main process. One that has ended is passed over.
    ///
    /// A process without a handler for it, which has not started yet, would be ended by it. The main process gets it from
    /// [`send_held`](Self::send_held) then.
    pub(super) fn signal(&mut self, signal: Signal, to_all: bool) {
        for process in &self.processes {
            let may_be_main = self.may_be_main(process);
            if !to_all && !may_be_main {
                continue;
            }
            if process.would_handle(signal) {
                process.send(signal);
            } else if may_be_main && !self.held.contains(&signal) {
                self.held.push(signal);
                let (name, pid) = (name(signal), process.pid);
                print_line(&format!(
                    "[notice] supervise: {name} waits until server {pid} handles it"
                ));
            }
        }
    }

    /// Sends the signals that wait to the main process, if it has handlers for them by now.
    pub(super) fn send_held(&mut self) {
        let mut processes = self.processes.iter();
        let main = processes.find(|process| self.main == Some(process.pid));
        if let Some(main) = main {
            self.held.retain(|&signal| {
                let is_ready = main.would_handle(signal);
                if is_ready {
                    main.send(signal);
                }
                !is_ready
            });
        }
    }

    /// Sends a signal that ends the service as [`signal`](Self::signal) does, but at once, also to a process without a handler for it:
    /// that has no sessions. Signals that wait are dropped.
    pub(super) fn end(&mut self, signal: Signal, to_all: bool) {
        self.held.clear();
        for process in &self.processes {
            if to_all || self.may_be_main(process) {
                process.send(signal);
            }
        }
    }

    /// Whether it is the main process, or there is none.
    fn may_be_main(&self, process: &ServiceProcess) -> bool {
        self.main.is_none_or(|main| main == process.pid)
    }
}

impl ServiceProcess {
    /// Whether the process has a handler for the signal, or that cannot be read.
    fn would_handle(&self, signal: Signal) -> bool {
        handles(self.pid, signal) != Some(false)
    }

    fn send(&self, signal: Signal) {
        // Fails only if it has ended, or belongs to another user.
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }
}

/// The name of a signal that may wait.
const fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::HUP => "SIGHUP",
        Signal::USR1 => "SIGUSR1",
        Signal::USR2 => "SIGUSR2",
        Signal::WINCH => "SIGWINCH",
        _ => "a signal",
    }
}
