//! Backends from a file.

mod model;

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lb_core::Snapshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::discovery::{Discovery, SnapshotStream};
use crate::error::DiscoveryError;
use crate::poll::{Lookup, Poll, Resolved};

/// How long a file that is about to be used must have stayed as it is, so that one written in place is not read while
/// it is half written: half of a YAML file may be a valid one with half of the backends.
const SETTLE: Duration = Duration::from_millis(100);

/// When to look again after a failure.
const RETRY: Duration = Duration::from_secs(1);

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
/// | valid, with no backends | an empty set | publishes it |
///
/// Needs a tokio runtime with time enabled. Reading is done on its threads for blocking work.
#[derive(Debug)]
pub struct File {
    poll: Poll<Content>,
}

/// The language of a file.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// JSON (RFC 8259).
    Json,
    /// YAML 1.2, one document.
    Yaml,
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
        self.blocking(move || read(&path)).await
    }

    /// Does what may take a while, where it is in nobody's way.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Box<str>> + Send + 'static,
    ) -> Result<T, DiscoveryError> {
        let done = spawn_blocking(work).await;
        let done = done.unwrap_or_else(|_| Err("the runtime is shutting down".into()));
        done.map_err(|problem| self.unusable(problem))
    }

    fn unusable(&self, problem: Box<str>) -> DiscoveryError {
        DiscoveryError::Unusable {
            what: format!("reading {}", self.path.display()).into(),
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
            let (format, label) = (self.format, self.source());
            let parse = move || Ok((model::parse(&bytes, format, &label)?, bytes));
            let (snapshot, bytes) = self.blocking(parse).await?;
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
