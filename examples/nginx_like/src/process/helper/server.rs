//! The superuser's side.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{process, thread};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Uid;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::open_files::SharedFiles;
use super::upgrade::Upgrade;
use super::wire::{Frame, Tag, receive, send};
use crate::config::main::Config;
use crate::process::error::StartError;
use crate::process::files::conf_path::ConfPath;
use crate::process::files::open_log;
use crate::process::files::path_resolution;
use crate::process::files::pid::PidFile;
use crate::process::files::socket_file::SocketFile;
use crate::process::logs::configured::paths_of;
use crate::process::upgrade::invocation::Invocation;
use crate::syntax::recording::Recording;

/// How many requests may hang on files at a time.
const MAX_REQUESTS: usize = 8;

/// Serves the process at the other end of the standard input until that process ends.
pub(crate) fn serve(path: ConfPath, owner: u32, invocation: Invocation) -> Result<(), StartError> {
    // Only the end of the server ends the helper: a terminal or a service manager may signal both processes.
    let blocked = SigSet::all().thread_block();
    blocked.map_err(|errno| StartError::System {
        call: "sigprocmask()".to_owned(),
        source: errno.into(),
    })?;
    keep_file_rights()?;
    let failed = |source| StartError::System {
        call: "the helper's socket".to_owned(),
        source,
    };
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    rustix::net::sockopt::socket_type(&socket).map_err(|errno| failed(errno.into()))?;
    let socket = UnixStream::from(socket);
    // The kernel took the name from /proc/self/exe.
    let _ = rustix::thread::set_name(c"nginx_like");
    let files = Arc::<SharedFiles>::default();
    let watched = (socket.try_clone().map_err(failed)?, Arc::clone(&files));
    let watching = thread::Builder::new().name("end".to_owned());
    let watching = watching.spawn(move || end_with(&watched.0, &watched.1));
    let watching = watching.map_err(StartError::Thread)?;
    let handler = Arc::new(RequestHandler {
        path,
        owner: Uid::from_raw(owner),
        server: parent_id(),
        configured: Mutex::default(),
        files,
        upgrade: Upgrade::new(invocation),
    });
    // A server that was killed may leave its socket with an error instead of an end.
    while let Ok(Some(frame)) = receive(&socket) {
        RequestHandler::start(&handler, frame);
    }
    // Does not return.
    drop(watching.join());
    Ok(())
}

/// Gives up every capability but those to open files of other users and to change their owner.
fn keep_file_rights() -> Result<(), StartError> {
    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER;
    let kept = capabilities(None).and_then(|had| {
        let kept = had.permitted & needed;
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)
    });
    kept.map_err(|errno| StartError::System {
        call: "capset()".to_owned(),
        source: errno.into(),
    })
}

/// Ends the process when the server has ended, even if a request hangs on a file then.
fn end_with(server: &UnixStream, files: &SharedFiles) {
    let mut ended = [PollFd::new(server, PollFlags::RDHUP)];
    while matches!(poll(&mut ended, None), Ok(0) | Err(Errno::INTR)) {}
    files.remove_all();
    process::exit(0);
}

/// No code that can panic runs under the lock.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a system error, or the text of another error.
fn encode_error(error: &io::Error) -> Vec<u8> {
    match error.raw_os_error() {
        Some(number) => number.to_le_bytes().into(),
        None => error.to_string().into(),
    }
}

fn reply_with(reply: &UnixStream, answer: io::Result<Response>) {
    // A server that has stopped waiting has closed its socket.
    let _ = match answer {
        Ok(Response { body, file }) => send(reply, Tag::Done, &body, file.as_ref()),
        Err(error) => send(reply, Tag::Failed, &encode_error(&error), None),
    };
}

struct RequestHandler {
    path: ConfPath,
    /// The user of the server, which owns the logs.
    owner: Uid,
    /// The server's process.
    server: u32,
    configured: Mutex<ConfiguredPaths>,
    files: Arc<SharedFiles>,
    upgrade: Upgrade,
}

/// The files that configurations have named so far.
#[derive(Default)]
struct ConfiguredPaths {
    logs: HashSet<PathBuf>,
    pids: HashSet<PathBuf>,
    sockets: HashSet<PathBuf>,
    tokens: HashSet<PathBuf>,
}

#[derive(Default)]
pub(super) struct Response {
    pub(super) body: Vec<u8>,
    pub(super) file: Option<File>,
}

impl RequestHandler {
    /// Answers in a thread of its own, which may hang on a file.
    fn start(this: &Arc<Self>, mut frame: Frame) {
        // A frame without a socket for the answer is no request.
        let Some(reply) = frame.file.take() else {
            return;
        };
        let reply = UnixStream::from(OwnedFd::from(reply));
        // Each request's thread holds a reference, and so does the main thread.
        if Arc::strong_count(this) > MAX_REQUESTS {
            let error = io::Error::other("too many requests to the helper process hang");
            reply_with(&reply, Err(error));
            return;
        }
        let handler = Arc::clone(this);
        let thread = thread::Builder::new().name("request".to_owned());
        // A thread that is not started closes the socket.
        let _ = thread.spawn(move || {
            let answer = handler.answer(frame);
            drop(handler);
            reply_with(&reply, answer);
        });
    }

    fn answer(&self, frame: Frame) -> io::Result<Response> {
        let path = PathBuf::from(OsString::from_vec(frame.body));
        match frame.tag {
            Tag::Load => Ok(Response {
                body: self.load().to_bytes(),
                file: None,
            }),
            Tag::OpenLog if lock(&self.configured).logs.contains(&path) => Ok(Response {
                body: Vec::new(),
                file: Some(open_log::open_for(&path, self.owner)?),
            }),
            Tag::OpenPid if lock(&self.configured).pids.contains(&path) => {
                // One pid file for each path: the file of an earlier request is removed first.
                self.remove(&path);
                let file = PidFile::open(&path, Some(self.owner))?;
                self.files.lock().pids.push(file);
                Ok(Response::default())
            }
            Tag::WritePid => self.change_pid(&path, |file| file.write(self.server)),
            Tag::RetirePid => self.change_pid(&path, PidFile::retire),
            Tag::RestorePid => self.change_pid(&path, PidFile::restore),
            Tag::RemovePid => {
                self.remove(&path);
                Ok(Response::default())
            }
            Tag::OpenUnix if lock(&self.configured).sockets.contains(&path) => {
                let (socket, file) = SocketFile::open(&path, self.owner)?;
                self.files.lock().sockets.push(file);
                Ok(Response {
                    body: Vec::new(),
                    file: Some(OwnedFd::from(socket).into()),
                })
            }
            Tag::OpenToken if lock(&self.configured).tokens.contains(&path) => Ok(Response {
                body: Vec::new(),
                file: Some(path_resolution::open_to_read(&path, self.owner)?),
            }),
            Tag::RemoveUnix => {
                let taken = self.files.lock().take_socket(&path);
                drop(taken);
                Ok(Response::default())
            }
            Tag::AdoptUnix if lock(&self.configured).sockets.contains(&path) => {
                let before = self.files.lock().take_socket(&path);
                if let Some(before) = before {
                    before.leave();
                }
                let file = SocketFile::adopt(&path, self.owner)?;
                self.files.lock().sockets.push(file);
                Ok(Response::default())
            }
            Tag::KeepUnix => {
                let keeps = path.as_os_str() == "1";
                self.files.lock().keep_sockets(keeps);
                Ok(Response::default())
            }
            Tag::Upgrade => self.upgrade.start(),
            Tag::SignalUpgrade => self.upgrade.signal(path.as_os_str().as_bytes()),
            Tag::ReapUpgrade => self.upgrade.reap(),
            _ => Err(Errno::PERM.into()),
        }
    }

    /// Writes or renames the pid file that was opened at `path`, outside of the lock, since it may hang.
    fn change_pid(
        &self,
        path: &Path,
        change: impl FnOnce(&mut PidFile) -> io::Result<()>,
    ) -> io::Result<Response> {
        let _change = self.files.begin_change();
        let taken = self.files.lock().take_pid(path);
        let mut file = taken.ok_or(Errno::PERM)?;
        let done = change(&mut file);
        self.files.lock().pids.push(file);
        done.map(|()| Response::default())
    }

    /// Removes the pid file that was opened at `path`. The removal itself is outside of the lock, since it may hang.
    fn remove(&self, path: &Path) {
        let _change = self.files.begin_change();
        let taken = self.files.lock().take_pid(path);
        drop(taken);
    }

    /// The recording ends with the first mistake, which the server then finds as well.
    fn load(&self) -> Recording {
        let (recording, config) =
            Config::load_recorded(&self.path.conf, &self.path.prefix, &self.path.overrides);
        if let Ok(config) = config {
            let mut configured = lock(&self.configured);
            configured.logs.extend(paths_of(&config));
            let servers = config.stream.iter().flat_map(|stream| &stream.servers);
            let listens = servers.flat_map(|server| &server.listens);
            let paths = listens.filter_map(|listen| listen.unix.as_deref());
            configured.sockets.extend(paths.map(Path::to_owned));
            let admin = config.stream.and_then(|stream| stream.admin);
            configured
                .tokens
                .extend(admin.and_then(|admin| admin.token));
            configured.pids.insert(config.pid.path);
        }
        recording
    }
}

#[cfg(test)]
mod tests;
