//! The side of the command `upgrade`: it asks a process to start a new binary, and waits for the outcome.
//!
//! The process renames its pid file when it starts the new binary, and renames it back if that fails; the process of the new binary
//! writes the pid file when it serves. The renames are observed by inotify(7), because a start that fails takes less than a
//! millisecond.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process::files::pid::OLD_SUFFIX;
use crate::process::handled_signals::handles;
use crate::process::send_signal::{SignalError, process_of};
use crate::syntax::error::Os;

/// How long the process may take to begin: a reload that runs comes first.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to end a new binary that is not ready in time, and to say so.
const FAILURE_LIMIT: Duration = Duration::from_secs(10);

/// The pid file is read so often, whatever inotify reports.
const PERIOD: Duration = Duration::from_millis(50);

/// An upgrade that has succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgraded {
    pub(crate) old: i32,
    pub(crate) new: i32,
}

/// Why an upgrade did not succeed. Unless it says otherwise, the old process serves as before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeRequestError {
    #[error("process {old} has ended meanwhile, and no new one has written \"{}\"", path.display())]
    Ended { old: i32, path: PathBuf },
    #[error(
        "the new binary did not become ready, and process {old} serves as before: its error log says why"
    )]
    NotReady { old: i32 },
    #[error("process {old} of \"{}\" does not run", path.display())]
    NotRunning { old: i32, path: PathBuf },
    #[error(
        "process {old} has not started a new binary within {START_LIMIT:?}: its error log may say why; the process of an earlier \
         upgrade may still serve"
    )]
    NotStarted { old: i32 },
    #[error("{0}")]
    PidFile(SignalError),
    #[error("process {old} cannot be signalled ({})", Os(source))]
    Signal { old: i32, source: io::Error },
    #[error("process {old} has not said within {limit:?} whether the new binary is ready")]
    TimedOut { old: i32, limit: Duration },
    #[error(
        "process {old} of \"{}\" does not handle SIGUSR2, which would end it: is it nginx_like?",
        path.display()
    )]
    Unhandled { old: i32, path: PathBuf },
    #[error("the directory of \"{}\" cannot be watched ({})", path.display(), Os(source))]
    Watch { path: PathBuf, source: io::Error },
}

/// Lets the process of the pid file at `path` start its new binary, waits until that serves, and then lets the old process end
/// gracefully unless it is kept. A new binary gets the time `limit` to become ready, which is the server's own limit.
pub(crate) fn upgrade(
    path: &Path,
    limit: Duration,
    keep_old: bool,
) -> Result<Upgraded, UpgradeRequestError> {
    let server = OldServer::find(path)?;
    // The server renames the file behind links.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let watch = PidFileWatch::begin(&path).map_err(|source| UpgradeRequestError::Watch {
        path: path.clone(),
        source,
    })?;
    server.signal(Signal::USR2)?;
    let new = server.wait_for_successor(&path, watch, limit)?;
    if !keep_old {
        match server.signal(Signal::QUIT) {
            // It has ended by itself.
            Err(UpgradeRequestError::Signal { source, .. })
                if source.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
            sent => sent?,
        }
    }
    Ok(Upgraded {
        old: server.id,
        new,
    })
}

/// The process of the pid file.
struct OldServer {
    id: i32,
    /// Readable once the process has ended.
    pidfd: OwnedFd,
}

impl OldServer {
    fn find(path: &Path) -> Result<Self, UpgradeRequestError> {
        let pid = process_of(path).map_err(UpgradeRequestError::PidFile)?;
        let old = pid.as_raw_nonzero().get();
        let path = || path.to_owned();
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => UpgradeRequestError::NotRunning { old, path: path() },
            errno => UpgradeRequestError::Signal {
                old,
                source: errno.into(),
            },
        })?;
        if handles(pid, Signal::USR2) == Some(false) {
            return Err(UpgradeRequestError::Unhandled { old, path: path() });
        }
        Ok(Self { id: old, pidfd })
    }

    fn signal(&self, signal: Signal) -> Result<(), UpgradeRequestError> {
        pidfd_send_signal(&self.pidfd, signal).map_err(|errno| UpgradeRequestError::Signal {
            old: self.id,
            source: errno.into(),
        })
    }

    /// Returns the id of the process that has written the pid file.
    fn wait_for_successor(
        &self,
        path: &Path,
        mut watch: PidFileWatch,
        limit: Duration,
    ) -> Result<i32, UpgradeRequestError> {
        let old = self.id;
        let begin = Instant::now();
        let longest = START_LIMIT + limit + FAILURE_LIMIT;
        loop {
            // Before the look at the pid file: what the process did last is visible there.
            let has_ended = self.wait(&watch);
            let progress = watch.read();
            if let Some(new) = successor(path, old) {
                return Ok(new);
            }
            let elapsed = begin.elapsed();
            match progress {
                _ if has_ended => {
                    let path = path.to_owned();
                    return Err(UpgradeRequestError::Ended { old, path });
                }
                Progress::Failed => return Err(UpgradeRequestError::NotReady { old }),
                Progress::Requested if elapsed > START_LIMIT => {
                    return Err(UpgradeRequestError::NotStarted { old });
                }
                _ if elapsed > longest => {
                    let limit = longest;
                    return Err(UpgradeRequestError::TimedOut { old, limit });
                }
                _ => {}
            }
        }
    }

    /// Waits for an event, at most for [`PERIOD`]. Returns whether the process has ended.
    fn wait(&self, watch: &PidFileWatch) -> bool {
        let period = Timespec::try_from(PERIOD).ok();
        let mut events = [
            PollFd::new(&self.pidfd, PollFlags::IN),
            PollFd::new(&watch.inotify, PollFlags::IN),
        ];
        let polled = poll(&mut events, period.as_ref());
        polled.is_ok() && events[0].revents().contains(PollFlags::IN)
    }
}

/// The process of the pid file, if it is not the old one.
fn successor(path: &Path, old: i32) -> Option<i32> {
    // The new process opens the file before it writes its id.
    let pid = process_of(path).ok()?.as_raw_nonzero().get();
    (pid != old).then_some(pid)
}

/// How far the upgrade is, by the names of the pid file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Requested,
    /// The pid file has been renamed: the new binary is started.
    Started,
    /// It has its name again.
    Failed,
}

/// Watches the directory of a pid file.
struct PidFileWatch {
    inotify: OwnedFd,
    name: OsString,
    old_name: OsString,
    progress: Progress,
}

impl PidFileWatch {
    /// `path` leads to the file without a link.
    fn begin(path: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        inotify::add_watch(&inotify, directory, WatchFlags::MOVED_TO)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut old_name = name.clone();
        old_name.push(OLD_SUFFIX);
        Ok(Self {
            inotify,
            name,
            old_name,
            progress: Progress::Requested,
        })
    }

    /// Reads the events until now.
    fn read(&mut self) -> Progress {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        // An error means that there are no more for now.
        while let Ok(event) = reader.next() {
            if !event.events().contains(ReadFlags::MOVED_TO) {
                continue;
            }
            let name = event.file_name().map(|name| name.to_bytes());
            if name == Some(self.old_name.as_bytes()) {
                self.progress = Progress::Started;
            } else if name == Some(self.name.as_bytes()) && self.progress == Progress::Started {
                self.progress = Progress::Failed;
            }
        }
        self.progress
    }
}
