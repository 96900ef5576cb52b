//! The system's files that configure lookups, read again after a change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::DiscoveryError;
use crate::sources::dns::config::hosts::Hosts;
use crate::sources::dns::config::lookup_config::{LookupConfig, ResolverOptions};
use crate::sources::dns::config::resolv_conf::ResolvConf;

/// The minimum time between two checks of a file. A check costs one system call.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long a file must stay unchanged before its stamp is reliable: a change at nearly the same time may leave the stamp
/// unchanged.
const REST: Duration = Duration::from_secs(2);

/// The files that a [`LookupConfig`] comes from, if any.
pub(crate) struct SystemFiles {
    resolv_conf: Option<WatchedFile>,
    hosts: Option<WatchedFile>,
    /// The first content of `resolv.conf`, until the first lookup logs its problems: the embedder may set up its log after
    /// its resolver.
    unlogged: Option<ResolvConf>,
}

impl SystemFiles {
    pub(crate) fn read(options: &ResolverOptions) -> Result<(Self, LookupConfig), DiscoveryError> {
        let mut files = Self {
            resolv_conf: None,
            hosts: None,
            unlogged: None,
        };
        let given = match &options.name_servers {
            Some(servers) => ResolvConf::of(servers),
            None => {
                let path = options.resolv_conf.as_deref();
                let path = path.unwrap_or_else(|| Path::new("/etc/resolv.conf"));
                let (file, text) = WatchedFile::open(path)?;
                files.resolv_conf = Some(file);
                let read = ResolvConf::parse(&text);
                files.unlogged = Some(read.clone());
                read
            }
        };
        let default = options
            .name_servers
            .is_none()
            .then_some(Path::new("/etc/hosts"));
        let mut hosts = Hosts::default();
        if let Some(path) = options.hosts.as_deref().or(default) {
            let (file, text) = WatchedFile::open(path)?;
            hosts = Hosts::parse(&text);
            files.hosts = Some(file);
        }
        let conf = LookupConfig::new(given, options, Arc::new(hosts))?;
        Ok((files, conf))
    }

    /// Applies the changes of the files. A file that cannot be used changes nothing.
    pub(crate) fn follow(&mut self, options: &ResolverOptions, conf: &mut Arc<LookupConfig>) {
        if let Some(file) = &self.resolv_conf
            && let Some(read) = self.unlogged.take()
        {
            log_problems(&file.path, &read);
        }
        if let Some(file) = &mut self.resolv_conf
            && let Some(text) = file.changed()
        {
            let read = text.map(|text| ResolvConf::parse(&text));
            let read = read.and_then(|read| {
                log_problems(&file.path, &read);
                let broken = read
                    .is_broken
                    .then_some("it names no server that can be used");
                broken.map_or(Ok(read), |problem| Err(file.unusable(problem)))
            });
            let next =
                read.and_then(|read| LookupConfig::new(read, options, Arc::clone(conf.hosts())));
            replace(conf, next, file);
        }
        if let Some(file) = &mut self.hosts
            && let Some(text) = file.changed()
        {
            let next = text.map(|text| conf.with_hosts(Hosts::parse(&text)));
            replace(conf, next, file);
        }
    }
}

/// Logs the skipped parts of a file.
fn log_problems(path: &Path, read: &ResolvConf) {
    if !read.problems.is_empty() {
        let (path, problems) = (path.display(), read.problems.join("; "));
        warn!(%path, %problems, servers = ?read.servers, "Invalid parts of the file skipped");
    }
}

fn replace(
    conf: &mut Arc<LookupConfig>,
    next: Result<LookupConfig, DiscoveryError>,
    file: &WatchedFile,
) {
    let path = file.path.display();
    match next {
        Ok(next) => {
            *conf = Arc::new(next);
            info!(%path, servers = ?conf.servers(), "Changed file read");
        }
        Err(error) => {
            warn!(%path, error = %error.report(), "Changed file unusable, keeping its previous content");
        }
    }
}

/// A file that is read again after a change.
#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    checked: Instant,
    stamp: Option<Stamp>,
    /// Whether the stamp is reliable: it would have changed with the content.
    is_settled: bool,
    digest: u64,
    is_readable: bool,
}

/// Metadata that change when a file's content does, or when another file replaces it. Times are seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether the file has stayed unchanged for [`REST`]. False if its times are in the future.
    fn is_settled(&self) -> bool {
        let (seconds, _) = self.changed.max(self.modified);
        let Some(changed) = u64::try_from(seconds).ok().map(Duration::from_secs) else {
            return false;
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // One second more, because the fraction of a second is ignored.
        now.is_ok_and(|now| now > changed + REST + Duration::from_secs(1))
    }
}

impl WatchedFile {
    /// Reads the file for the first time. One that does not exist counts as empty, as in the system's resolver.
    fn open(path: &Path) -> Result<(Self, Vec<u8>), DiscoveryError> {
        let mut file = Self {
            path: path.to_owned(),
            checked: Instant::now(),
            stamp: None,
            is_settled: false,
            digest: 0,
            is_readable: true,
        };
        let stamp = Stamp::of(path).ok();
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file.unreadable(error)),
        };
        file.take(stamp, &text);
        Ok((file, text))
    }

    /// Records what was read. Returns whether it has changed.
    fn take(&mut self, stamp: Option<Stamp>, text: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let digest = hasher.finish();
        self.stamp = stamp;
        self.is_settled = stamp.is_some_and(|stamp| stamp.is_settled());
        std::mem::replace(&mut self.digest, digest) != digest
    }

    /// The file's text if it has changed since the last read, or, once, the error that prevents a read.
    ///
    /// A missing or empty file counts as unchanged: it is being replaced.
    fn changed(&mut self) -> Option<Result<Vec<u8>, DiscoveryError>> {
        let now = Instant::now();
        if now.saturating_duration_since(self.checked) < CHECK_EVERY {
            return None;
        }
        self.checked = now;
        let stamp = Stamp::of(&self.path).ok()?;
        if stamp.length == 0 || (self.is_settled && self.stamp == Some(stamp)) {
            return None;
        }
        match fs::read(&self.path) {
            Ok(text) => {
                self.is_readable = true;
                self.take(Some(stamp), &text).then_some(Ok(text))
            }
            Err(error) if self.is_readable => {
                self.is_readable = false;
                Some(Err(self.unreadable(error)))
            }
            Err(_) => None,
        }
    }

    fn unreadable(&self, error: io::Error) -> DiscoveryError {
        DiscoveryError::Config {
            what: self.what(),
            problem: "the file cannot be read".into(),
            source: Some(error.into()),
        }
    }

    fn unusable(&self, problem: &str) -> DiscoveryError {
        DiscoveryError::Config {
            what: self.what(),
            problem: problem.into(),
            source: None,
        }
    }

    fn what(&self) -> Box<str> {
        format!("reading {}", self.path.display()).into()
    }
}

#[cfg(test)]
mod tests;
