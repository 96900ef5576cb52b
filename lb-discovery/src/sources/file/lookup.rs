//! Reading a file of backends.

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
use crate::file_io::reader::FileReader;
use crate::sources::file::document;
use crate::sources::file::format::FileFormat;
use crate::sources::polled::lookup::{Lookup, Resolved};

/// The maximum size of a file, in bytes.
pub(crate) const MAX_SIZE: u64 = 16 << 20;

/// How long a file must stay unchanged before its content is used: a program may be writing it in place, and half of a
/// YAML file may be a valid one with half of the backends.
pub(crate) const SETTLE: Duration = Duration::from_millis(100);

/// The wait before a file that cannot be used is read again.
const RETRY: Duration = Duration::from_secs(1);

/// The limit on the time of one read. A read that takes longer is a failure of the file system.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of reads after which a file that changes at every read is an error.
const MAX_READS: usize = 50;

/// Reads a file, and parses it when it has changed.
pub(crate) struct FileLookup {
    path: PathBuf,
    format: FileFormat,
    reader: FileReader,
    /// The last content that was valid, and its set.
    last: Mutex<Option<(Vec<u8>, Snapshot)>>,
}

impl FileLookup {
    pub(crate) fn new(path: PathBuf, format: FileFormat, read_timeout: Duration) -> Self {
        Self {
            path,
            format,
            reader: FileReader::new(&Arc::new(Semaphore::new(1)), read_timeout),
            last: Mutex::default(),
        }
    }

    /// The set of `bytes`, if they are the last valid content.
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
        let (format, label) = (self.format, self.label());
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

impl fmt::Debug for FileLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lookup for FileLookup {
    fn label(&self) -> Arc<str> {
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
        for _ in 0..MAX_READS {
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

/// Reads a file of at most [`MAX_SIZE`] bytes. Fails with the problem.
fn read(path: &Path) -> Result<Vec<u8>, Box<str>> {
    let failed = |error: std::io::Error| Box::from(error.to_string());
    let file = fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is not a regular file".into()); // reading a pipe would wait for a writer
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it is larger than {} bytes", MAX_SIZE).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::Command;

    use super::*;

    /// Reading a pipe without a writer blocks, as an unresponsive file system does.
    #[tokio::test]
    async fn a_file_that_cannot_be_read_in_time_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let lookup = FileLookup::new(path.clone(), FileFormat::Json, Duration::from_millis(50));
        let error = lookup.lookup().await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
        // The blocking thread ends once the other end of the pipe is opened.
        drop(OpenOptions::new().write(true).open(path).unwrap());
    }
}
