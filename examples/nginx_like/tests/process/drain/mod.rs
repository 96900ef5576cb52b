//! A shutdown by SIGQUIT, phase by phase, and the command that it waits for.

mod command;
mod phases;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory with a script for `lb_withdraw_command`.
struct Script {
    dir: TempDir,
}

impl Script {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("script"), text).unwrap();
        Self { dir }
    }

    /// Its directive, and all of `lb_ready_file`. The script gets the directory as its argument.
    fn main(&self, more: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "lb_ready_file {dir}/ready leaving=-60; lb_withdraw_command sh {dir}/script {dir}; {more}"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ready_file(&self) -> PathBuf {
        self.path("ready")
    }

    /// Waits until the script has made the file.
    async fn made(&self, name: &str) -> String {
        let path = self.path(name);
        crate::sockets::eventually(name, || path.exists()).await;
        read(&path)
    }

    fn make(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
