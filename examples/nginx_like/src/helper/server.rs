//! The side of the superuser.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
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

use super::wire::{Frame, Tag, receive, send};
use crate::config::{Config, Record};
use crate::error::StartError;
use crate::files::{PidFile, Place, open_log_for};
use crate::logs::paths_of;

/// Serves the process at the other end of the standard input until that process ends.
pub(crate) fn serve(place: Place, owner: u32) -> Result<(), StartError> {
    // The end of the server is the only reason to end: a terminal or a service manager may signal both processes.
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
    let written = Arc::<Mutex<Vec<PidFile>>>::default();
    let watched = (socket.try_clone().map_err(failed)?, Arc::clone(&written));
    let watching = thread::Builder::new().name("end".to_owned());
    let watching = watching.spawn(move || end_with(&watched.0, &watched.1));
    let watching = watching.map_err(StartError::Thread)?;
    let mut handler = RequestHandler {
        place,
        owner: Uid::from_raw(owner),
        server: parent_id(),
        logs: HashSet::new(),
        pids: HashSet::new(),
        written,
    };
    // A server that was killed may leave its socket with an error instead of an end.
    while let Ok(Some(frame)) = receive(&socket) {
        let sent = match handler.answer(frame) {
            Ok(Answer { body, file }) => send(&socket, Tag::Done, &body, file.as_ref()),
            Err(error) => send(&socket, Tag::Failed, &encode_error(&error), None),
        };
        if sent.is_err() {
            break;
        }
    }
    // Does not return.
    drop(watching.join());
    Ok(())
}

/// Gives up every capability but those that open and give away files of others.
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

/// Ends the process when the server has ended, even if it hangs on a file then.
fn end_with(server: &UnixStream, written: &Mutex<Vec<PidFile>>) {
    let mut ended = [PollFd::new(server, PollFlags::RDHUP)];
    while matches!(poll(&mut ended, None), Ok(0) | Err(Errno::INTR)) {}
    lock(written).clear();
    process::exit(0);
}

/// No code that can panic runs under the lock.
fn lock(written: &Mutex<Vec<PidFile>>) -> MutexGuard<'_, Vec<PidFile>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of an error of the system, or the words of another.
fn encode_error(error: &io::Error) -> Vec<u8> {
    match error.raw_os_error() {
        Some(number) => number.to_le_bytes().into(),
        None => error.to_string().into(),
    }
}

struct RequestHandler {
    place: Place,
    /// The user of the server, which owns the logs.
    owner: Uid,
    /// The server's process.
    server: u32,
    /// The logs and the pid files that configurations have named so far.
    logs: HashSet<PathBuf>,
    pids: HashSet<PathBuf>,
    /// Pid files that are there now. Dropping them removes them.
    written: Arc<Mutex<Vec<PidFile>>>,
}

#[derive(Default)]
struct Answer {
    body: Vec<u8>,
    file: Option<File>,
}

impl RequestHandler {
    fn answer(&mut self, frame: Frame) -> io::Result<Answer> {
        let path = PathBuf::from(OsString::from_vec(frame.body));
        match frame.tag {
            Tag::Load => Ok(Answer {
                body: self.load().to_bytes(),
                file: None,
            }),
            Tag::OpenLog if self.logs.contains(&path) => Ok(Answer {
                body: Vec::new(),
                file: Some(open_log_for(&path, self.owner)?),
            }),
            Tag::WritePid if self.pids.contains(&path) => {
                // One for each path: the file of an earlier request goes first.
                self.remove(&path);
                let file = PidFile::write(&path, self.server, Some(self.owner))?;
                lock(&self.written).push(file);
                Ok(Answer::default())
            }
            Tag::RemovePid => {
                self.remove(&path);
                Ok(Answer::default())
            }
            _ => Err(Errno::PERM.into()),
        }
    }

    /// Removes the pid file that was written to `path`. The removal itself is outside of the lock, since it may hang.
    fn remove(&self, path: &Path) {
        let removed: Vec<_> = lock(&self.written)
            .extract_if(.., |file| file.path() == path)
            .collect();
        drop(removed);
    }

    /// The record ends with the first mistake, which the server then finds as well.
    fn load(&mut self) -> Record {
        let (record, config) = Config::load_recorded(&self.place.conf, &self.place.prefix);
        if let Ok(config) = config {
            self.logs.extend(paths_of(&config));
            self.pids.extend(config.pid);
        }
        record
    }
}
