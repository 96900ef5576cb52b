//! Which signals another process handles.

use std::fs;

use rustix::process::{Pid, Signal};

/// Whether the process has a handler for the signal. `None` if that cannot be read.
pub(crate) fn handles(pid: Pid, signal: Signal) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(line?.trim(), 16).ok()?;
    Some(caught & 1 << (signal.as_raw() - 1) != 0)
}
