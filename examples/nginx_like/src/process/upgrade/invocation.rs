//! The program and the arguments that this process was started with.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};

/// The first argument of the process of a new binary.
pub(crate) const ARGUMENT: &str = "--upgrade";

/// The first argument of a helper.
pub(crate) const HELPER_ARGUMENT: &str = "--helper";

/// The program and the arguments that this process was started with, to start it again.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// As in nginx, the name of the program as it was called, whatever file has this name now. Without a `/` in it, the path of
    /// the file that was executed.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Invocation {
    /// That of this process. To be called at the start, while the file of the program has its name.
    pub(crate) fn of_process() -> Self {
        let mut words = env::args_os();
        let name = PathBuf::from(words.next().unwrap_or_default());
        let mut arguments: Vec<OsString> = words.collect();
        if arguments.first().is_some_and(|first| first == ARGUMENT) {
            arguments.remove(0);
        }
        let is_path = name.components().count() > 1 || name.is_absolute();
        let program = match is_path {
            true => name,
            false => env::current_exe().unwrap_or(name),
        };
        Self { program, arguments }
    }

    /// The arguments of the helper of a server that has become the user `owner`.
    pub(crate) fn of_helper(&self, owner: u32) -> Vec<OsString> {
        let own = [
            HELPER_ARGUMENT.into(),
            owner.to_string().into(),
            "--binary".into(),
            self.program.clone().into(),
        ];
        own.into_iter()
            .chain(self.arguments.iter().cloned())
            .collect()
    }

    /// That of the server, in the helper, which was started with the program `binary`.
    pub(crate) fn in_helper(binary: PathBuf) -> Self {
        const OWN: usize = 4;
        Self {
            program: binary,
            arguments: env::args_os().skip(1 + OWN).collect(),
        }
    }

    /// Starts the program as a new binary. Returns its process, and the other end of its standard input.
    pub(crate) fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.program)
            .arg(ARGUMENT)
            .args(&self.arguments)
            .stdin(OwnedFd::from(theirs))
            .spawn()?;
        Ok((child, ours))
    }
}
