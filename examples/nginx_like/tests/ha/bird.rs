//! BIRD with one of the configurations of `ha/bird`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::namespace::Namespace;

use crate::keepalived::define;
use crate::process::Process;

/// A configuration with its definitions set for one machine of the laboratory.
#[derive(Debug)]
pub(crate) struct BirdConfig {
    dir: PathBuf,
}

impl BirdConfig {
    /// Writes the configuration `name` into `dir`, with these values of its definitions.
    pub(crate) fn new(name: &str, definitions: &[(&str, &str)], dir: &Path) -> Self {
        let mut text = fs::read_to_string(folder().join(name)).unwrap();
        for (name, value) in definitions {
            let definition = format!("define {name} = ");
            assert!(text.contains(&definition), "{name} is defined");
            text = define(&text, &definition, &format!("{value};"));
        }
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("bird.conf"), text).unwrap();
        let dir = dir.to_owned();
        Self { dir }
    }

    /// What `bird -p` says, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut command = Command::new("bird");
        let output = command
            .arg("-p")
            .arg("-c")
            .arg(self.dir.join("bird.conf"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && said.is_empty() {
            Ok(())
        } else {
            Err(said)
        }
    }

    pub(crate) fn start(&self, machine: &Namespace) -> Process {
        let mut command = machine.command("bird");
        command.arg("-d").arg("-c").arg(self.dir.join("bird.conf"));
        command.arg("-s").arg(self.socket());
        command.arg("-P").arg(self.dir.join("bird.pid"));
        Process::start(&mut command, &self.dir.join("bird.log"))
    }

    /// Starts `follow-ready` in the way `how`, which follows the file `ready`.
    pub(crate) fn follow(&self, machine: &Namespace, how: &str, ready: &Path) -> Process {
        let follow_ready = folder().join("follow-ready");
        let mut command = machine.command(follow_ready.to_str().unwrap());
        command
            .arg(how)
            .arg(ready)
            .env("BIRD_SOCKET", self.socket());
        Process::start(&mut command, &self.dir.join("follow-ready.log"))
    }

    /// What `birdc` answers to `request`.
    pub(crate) fn ask(&self, request: &[&str]) -> String {
        let output = Command::new("birdc")
            .arg("-s")
            .arg(self.socket())
            .args(request)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("bird.ctl")
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ha/bird")
}
