//! A balancer with its keepalived.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::namespace::Namespace;

use crate::addresses::Holder;
use crate::balancer::{Balancer, BalancerOptions};
use crate::keepalived::{KeepalivedConfig, Variant};
use crate::process::{Process, eventually};

/// A machine with a balancer and keepalived.
#[derive(Debug)]
pub(crate) struct VrrpNode {
    // Dropped before their namespace.
    pub(crate) keepalived: Process,
    pub(crate) balancer: Balancer,
    holder: Holder,
    dir: PathBuf,
    pub(crate) machine: Namespace,
}

impl VrrpNode {
    /// Starts the balancer, and then keepalived. `name` is `lb1` or `lb2`.
    pub(crate) fn start(
        machine: Namespace,
        name: &'static str,
        dir: &Path,
        variant: Variant,
        address: &str,
        backends: &[String],
        options: BalancerOptions<'_>,
    ) -> Self {
        let dir = dir.join(name);
        let balancer = Balancer::start(&machine, &dir, backends, options);
        let holder = Holder::watch(&machine, address);
        let setup = KeepalivedConfig::new(variant, name, address, &dir);
        let keepalived = setup.start(&machine);
        Self {
            keepalived,
            balancer,
            holder,
            dir,
            machine,
        }
    }

    /// Waits until keepalived takes part as a backup.
    pub(crate) fn waits(&self) {
        let log = self.dir.join("keepalived.log");
        let waits =
            || fs::read_to_string(&log).is_ok_and(|log| log.contains("Entering BACKUP STATE"));
        eventually("keepalived as a backup", waits);
    }

    pub(crate) fn holds(&self) -> bool {
        self.holder.holds()
    }

    /// How many connections of clients to `address` it has.
    pub(crate) fn sessions(&self, address: &str) -> usize {
        let mut command = self.machine.command("ss");
        command.args(["-Htn", "state", "established", "src", address]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }

    /// Whether it got the address once and has it still.
    pub(crate) fn has_always_held(&self) -> bool {
        self.holder.holds() && self.holder.times() == 1
    }

    pub(crate) fn has_never_held(&self) -> bool {
        self.holder.times() == 0
    }

    pub(crate) fn together(&self, other: &Self, since: Instant) -> Duration {
        self.holder.together(&other.holder, since)
    }

    /// Sends `signal` to all of its processes, as if the machine had failed.
    pub(crate) fn signal_all(&self, signal: Signal) {
        self.keepalived.signal_all(signal);
        self.balancer.signal_all(signal);
    }

    /// Writes what `equal.conf` adds to the priority.
    pub(crate) fn hand_over(&self, number: i32) {
        fs::write(self.dir.join("handover"), format!("{number}\n")).unwrap();
    }
}
