//! keepalived with one of the configurations of `ha/keepalived`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::namespace::Namespace;

use crate::balancer::ready_file;
use crate::lan::DEVICE;
use crate::process::Process;

/// Which of the configurations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Variant {
    Preempt,
    Nopreempt,
    Equal,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Preempt, Self::Nopreempt, Self::Equal];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Preempt => "preempt",
            Self::Nopreempt => "nopreempt",
            Self::Equal => "equal",
        }
    }
}

impl Variant {
    /// The parameters of `lb_ready_file` that go with it.
    pub(crate) const fn ready_file(self) -> &'static str {
        match self {
            Self::Preempt | Self::Nopreempt => "",
            Self::Equal => "leaving=-50",
        }
    }
}

/// A configuration with its definitions set for one machine of the laboratory.
#[derive(Debug)]
pub(crate) struct KeepalivedConfig {
    dir: PathBuf,
    config_id: &'static str,
}

impl KeepalivedConfig {
    /// Writes the configuration into `dir`, where the balancer has its files.
    pub(crate) fn new(
        variant: Variant,
        config_id: &'static str,
        address: &str,
        dir: &Path,
    ) -> Self {
        let name = format!("ha/keepalived/{}.conf", variant.name());
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let (ready, handover) = (ready_file(dir), dir.join("handover"));
        let definitions = [
            ("INTERFACE", DEVICE.to_owned()),
            ("ADDRESS", format!("{address}/24")),
            ("READY", ready.display().to_string()),
            ("HANDOVER", handover.display().to_string()),
        ];
        let mut text = fs::read_to_string(example).unwrap();
        for (name, value) in definitions {
            text = define(&text, &format!("${name}="), &value);
        }
        assert!(!text.contains("=/run/"), "a definition without a value");
        fs::write(dir.join("keepalived.conf"), text).unwrap();
        let dir = dir.to_owned();
        Self { dir, config_id }
    }

    /// The command with the arguments that all uses share.
    fn command(&self, machine: &Namespace) -> Command {
        let mut command = machine.command("keepalived");
        command.arg("-f").arg(self.dir.join("keepalived.conf"));
        command.args(["-i", self.config_id]);
        command
    }

    /// What `keepalived -t` says, if anything.
    pub(crate) fn check(&self, machine: &Namespace) -> Result<(), String> {
        let output = self.command(machine).arg("-t").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && said.is_empty() {
            Ok(())
        } else {
            Err(said)
        }
    }

    pub(crate) fn start(&self, machine: &Namespace) -> Process {
        let mut command = self.command(machine);
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
        command.arg("-p").arg(self.dir.join("keepalived.pid"));
        command.arg("-r").arg(self.dir.join("vrrp.pid"));
        Process::start(&mut command, &self.dir.join("keepalived.log"))
    }
}

/// Replaces the value of each line that begins with `definition`.
pub(crate) fn define(text: &str, definition: &str, value: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.starts_with(definition) {
            format!("{definition}{value}\n")
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}
