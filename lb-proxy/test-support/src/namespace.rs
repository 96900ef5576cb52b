//! A network namespace, for what loopback lacks: links that go down, addresses that move, and processes that share neither.
//! Needs root.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace. `Drop` removes it, after a panic as well.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Creates a namespace whose name ends with `suffix`. Its loopback is up.
    ///
    /// # Errors
    ///
    /// Says what is missing: root, `ip`, or a kernel with namespaces.
    pub fn create(suffix: &str) -> Result<Self, String> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let (pid, n) = (std::process::id(), CREATED.fetch_add(1, Relaxed));
        let name = format!("lb-{pid}-{n}-{suffix}");
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name that `ip netns` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with `args` in it.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn ip(&self, args: &[&str]) -> Result<(), String> {
        run(Command::new("ip").args(["-n", &self.name]).args(args))
    }

    /// Makes a link from the device `device` here to `peer_device` in `peer`. Both are down.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn link(&self, device: &str, peer: &Self, peer_device: &str) -> Result<(), String> {
        let near = ["link", "add", device, "type", "veth"];
        let far = ["peer", "name", peer_device, "netns", &peer.name];
        self.ip(&[&near[..], &far].concat())
    }

    /// A command that runs `program` in it. The process that it starts is the program itself.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs `f` in a thread in it. A socket keeps the namespace in which it was created.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&self.name);
                f()
            });
            thread.join().unwrap()
        })
    }

    /// Starts a thread in it that runs `f`.
    pub fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let name = self.name.clone();
        thread::spawn(move || {
            enter(&name);
            f()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Moves the thread that calls it.
fn enter(name: &str) {
    let namespace = File::open(format!("/run/netns/{name}")).unwrap();
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), network).unwrap();
}

/// Runs a command that ends by itself.
///
/// # Errors
///
/// The command, and what it writes to standard error if it fails.
pub fn run(command: &mut Command) -> Result<(), String> {
    let words = format!("{command:?}").replace('"', "");
    let output = command
        .output()
        .map_err(|error| format!("{words}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("{words}: {}", reason.trim()))
}
