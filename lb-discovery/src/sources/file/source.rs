//! Backends from a file.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lb_core::Snapshot;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::error::DiscoveryError;
use crate::file_io::reader::Reader;
use crate::source::{Discovery, SnapshotStream};
use crate::sources::file::document;
use crate::sources::file::format::Format;
use crate::sources::polled::{Lookup, Poll, Resolved};

/// How long a file that is about to be used must have stayed as it is, so that one written in place is not read while
/// it is half written: half of a YAML file may be a valid one with half of the backends.
const SETTLE: Duration = Duration::from_millis(100);

/// When to look again after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// How long reading the file may take, which is a failure of its file system when it is over.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a file is looked at while it changes before that is a failure.
const MOST_LOOKS: usize = 50;

/// The backends that a JSON or YAML file lists.
///
/// ```yaml
/// backends:
///   - addr: 10.0.0.1:446      # IP address and port; the only field that must be there
///   - addr: "[2001:db8::2]:446"
///     name: node2             # for logs and consistent hashing; the address if missing
///     weight: 5               # 0 to 65535; default 1; 0 takes no new connections
///     state: drain            # ready or drain; default ready
///     priority: 1             # the tier: 0 (default) first, then 1, up to 255
///     max_conns: 100          # 0 or missing: no limit
///     max_fails: 3            # failures that eject it; default 1; 0 never does
///     fail_timeout: 30s       # for how long, in ms, s, m or h; default 10s
///     zone: rack-1            # its failure domain
///     instance: 5f3a          # its incarnation: a new one at an old address starts afresh
///     source: inventory       # where it comes from; default: this source's label
/// ```
///
/// The fields mean what those of [`Backend`](lb_core::Backend) do; JSON has the same. A field that is not known, or is
/// there twice, and an address that is there twice are errors: a typing mistake must not be a default. An empty list
/// is a list, an empty file is an error. Addresses are addresses: host names have a time to live, and answers that can
/// fail, and are followed by [`Dns`](crate::Dns), which a [`Merge`](crate::Merge) joins with a file.
///
/// # How it is followed
///
/// The file is read every [`interval`](Self::interval), a second by default, and compared with what it said before.
/// This costs a few system calls, sees every change on every file system, and needs no care for links: editors that
/// write in place, programs that rename, and Kubernetes, which swaps a link for a mounted ConfigMap, are the same.
/// Notifications of the kernel would save the reading, but are lost on network file systems and end with the file they
/// were asked for. Content counts, not the time of the last write, which may go back. A change is used once it has
/// stayed for 100 ms; who takes longer to write writes another file and renames it.
///
/// # What goes wrong
///
/// | file | outcome | the [`Driver`](crate::Driver) then |
/// |---|---|---|
/// | not there, or not to be read | [`DiscoveryError::Unusable`] | keeps the last set, looks again after a second |
/// | not valid | [`DiscoveryError::Unusable`], with line and column | the same |
/// | not read within 5 s | [`DiscoveryError::Timeout`] | keeps the last set, looks again with growing delays |
/// | valid, with no backends | an empty set | publishes it |
///
/// Needs a tokio runtime with time enabled. Reading is done on its threads for blocking work.
#[derive(Debug)]
pub struct File {
    poll: Poll<Content>,
}

impl File {
    /// The largest file that is read, in bytes.
    pub const MAX_SIZE: u64 = 16 << 20;

    /// Follows the file at `path`: as JSON if its name ends in `.json`, otherwise as YAML. Reads nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let is_json = |extension: &std::ffi::OsStr| extension.eq_ignore_ascii_case("json");
        let format = if path.extension().is_some_and(is_json) {
            Format::Json
        } else {
            Format::Yaml
        };
        Self::with_format(path, format)
    }

    /// Follows the file at `path`, whatever it is called.
    pub fn with_format(path: impl Into<PathBuf>, format: Format) -> Self {
        let poll = Poll::new(Content {
            path: path.into(),
            format,
            reader: Reader::new(&Arc::new(Semaphore::new(1)), READ_TIMEOUT),
            last: Mutex::default(),
        });
        let poll = poll.interval(Duration::from_secs(1)).min_ttl(SETTLE);
        Self {
            poll: poll.jitter(Duration::ZERO),
        }
    }

    /// How long to wait between two looks. Default: 1 s; less than 100 ms counts as 100 ms.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll = self.poll.interval(interval);
        self
    }

    /// Reads the file once, without following it.
    ///
    /// # Errors
    ///
    /// As the table above says.
    pub async fn read(&self) -> Result<Snapshot, DiscoveryError> {
        Ok(self.poll.inner().lookup().await?.snapshot)
    }
}

#[async_trait]
impl Discovery for File {
    fn source(&self) -> Arc<str> {
        self.poll.source()
    }

    fn identity(&self) -> Arc<str> {
        self.poll.identity()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        self.poll.watch().await
    }

    fn refresh(&self) {
        self.poll.refresh();
    }
}

/// What the file said, and says now.
struct Content {
    path: PathBuf,
    format: Format,
    reader: Reader,
    last: Mutex<Option<(Vec<u8>, Snapshot)>>,
}

impl Content {
    /// The set that `bytes` made when they were last read.
    fn known(&self, bytes: &[u8]) -> Option<Snapshot> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same = last.as_ref().filter(|(last, _)| last == bytes);
        same.map(|(_, snapshot)| snapshot.clone())
    }

    async fn read(&self) -> Result<Vec<u8>, DiscoveryError> {
        let path = self.path.clone();
        let read = self.reader.read(&self.what(), move || read(&path)).await?;
        read.map_err(|problem| self.unusable(problem))
    }

    /// Parses on a blocking thread, because a large file takes a while.
    async fn parse(&self, bytes: Vec<u8>) -> Result<(Snapshot, Vec<u8>), DiscoveryError> {
        let (format, label) = (self.format, self.source());
        let parse = move || Ok((document::parse(&bytes, format, &label)?, bytes));
        let parsed = spawn_blocking(parse).await;
        let parsed = parsed.unwrap_or_else(|_| Err("the runtime is shutting down".into()));
        parsed.map_err(|problem| self.unusable(problem))
    }

    fn what(&self) -> String {
        format!("reading {}", self.path.display())
    }

    fn unusable(&self, problem: Box<str>) -> DiscoveryError {
        DiscoveryError::Unusable {
            what: self.what().into(),
            problem,
            valid_for: RETRY,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for Content {
    fn source(&self) -> Arc<str> {
        format!("file:{}", self.path.display()).into()
    }

    fn identity(&self) -> Arc<str> {
        format!("file {:?} {:?}", self.path, self.format).into()
    }

    async fn lookup(&self) -> Result<Resolved, DiscoveryError> {
        let mut bytes = self.read().await?;
        if let Some(snapshot) = self.known(&bytes) {
            return Ok(Resolved::new(snapshot, None));
        }
        for _ in 0..MOST_LOOKS {
            sleep(SETTLE).await;
            let again = self.read().await?;
            if again != bytes {
                bytes = again;
                continue;
            }
            let (snapshot, bytes) = self.parse(bytes).await?;
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((bytes, snapshot.clone()));
            return Ok(Resolved::new(snapshot, None));
        }
        Err(self.unusable("it does not stop changing".into()))
    }
}

/// The bytes of a file that is not too large, or what is wrong with it.
fn read(path: &Path) -> Result<Vec<u8>, Box<str>> {
    let failed = |error: std::io::Error| Box::from(error.to_string());
    let file = fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is not a regular file".into()); // reading a pipe would wait for somebody to write
    }
    let mut bytes = Vec::new();
    file.take(File::MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > File::MAX_SIZE {
        return Err(format!("it is larger than {} bytes", File::MAX_SIZE).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::Command;

    use super::*;

    /// Reading a pipe that no process writes to hangs, as a file system may.
    #[tokio::test]
    async fn a_file_that_cannot_be_read_in_time_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let content = Content {
            reader: Reader::new(&Arc::new(Semaphore::new(1)), Duration::from_millis(50)),
            path: path.clone(),
            format: Format::Json,
            last: Mutex::default(),
        };
        let error = content.lookup().await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
        // The blocking thread goes on when the pipe is opened at its other end.
        drop(OpenOptions::new().write(true).open(path).unwrap());
    }
}
