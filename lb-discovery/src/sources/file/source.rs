//! A file as a source.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use lb_core::Snapshot;

use crate::error::DiscoveryError;
use crate::source::forward_source;
use crate::sources::file::format::FileFormat;
use crate::sources::file::lookup::{FileLookup, MAX_SIZE, READ_TIMEOUT, SETTLE};
use crate::sources::polled::lookup::Lookup;
use crate::sources::polled::source::Polled;

/// The backends that a JSON or YAML file lists.
///
/// ```yaml
/// backends:
///   - 10.0.0.1:446            # IP address and port, or unix:PATH
///   - addr: "[2001:db8::2]:446" # the only field that must be there
///     name: node2             # for logs and consistent hashing; the address if missing
///     weight: 5               # 0 to 65535; default 1; 0 takes no new connections
///     state: drain            # ready or drain; default ready
///     priority: 1             # the tier: 0 (default) first, then 1, up to 255
///     max_conns: 100          # 0 or missing: no limit
///     max_fails: 3            # failures that eject it; default 1; 0 never does
///     fail_timeout: 30s       # for how long, in ms, s, m or h; default 10s
///     zone: rack-1            # its failure domain
///     for_zones: [rack-1]     # the zones whose clients should use it; default: all
///     node: node2             # the machine that it runs on
///     instance: 5f3a          # its incarnation: a new one at an old address starts afresh
///     source: inventory       # where it comes from; default: this source's label
/// ```
///
/// The fields have the meaning of those of [`Backend`](lb_core::Backend); JSON has the same fields. An unknown field, a
/// field that occurs twice, and an address that occurs twice are errors: a typing mistake must not fall back to a
/// default. An empty list is valid, an empty file is an error. Host names are not accepted, because they have a time to
/// live and answers that can fail: [`Dns`](crate::Dns) follows them, and [`Merge`](crate::Merge) joins both.
///
/// # How it is followed
///
/// The source reads the file every [`interval`](Self::interval), a second by default, and compares its content with the
/// previous one. This costs a few system calls, detects every change on every file system, and treats all ways of
/// writing alike: editors that write in place, programs that rename, and Kubernetes, which swaps a link for a mounted
/// ConfigMap. Notifications of the kernel would save the read, but are lost on network file systems and end with the
/// inode. The content is compared, not the time of the last write, which may go back. A change is used once it has
/// stayed for 100 ms; a program that takes longer to write must write another file and rename it.
///
/// # What goes wrong
///
/// | file | outcome | the [`Driver`](crate::Driver) then |
/// |---|---|---|
/// | missing or unreadable | [`DiscoveryError::Unusable`] | keeps the last set, reads again after a second |
/// | not valid | [`DiscoveryError::Unusable`], with line and column | the same |
/// | not read within 5 s | [`DiscoveryError::Timeout`] | keeps the last set, reads again with growing delays |
/// | valid, with no backends | an empty set | publishes it |
///
/// Needs a tokio runtime with time enabled. Its threads for blocking work read the file.
#[derive(Debug)]
pub struct File {
    poll: Polled<FileLookup>,
}

impl File {
    /// The maximum size of a file, in bytes: 16 MiB. A larger file is an error.
    pub const MAX_SIZE: u64 = MAX_SIZE;

    /// Follows the file at `path`: JSON if its name ends in `.json`, otherwise YAML. Reads nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let is_json = |extension: &OsStr| extension.eq_ignore_ascii_case("json");
        let format = if path.extension().is_some_and(is_json) {
            FileFormat::Json
        } else {
            FileFormat::Yaml
        };
        Self::with_format(path, format)
    }

    /// Follows the file at `path`, in the given format.
    pub fn with_format(path: impl Into<PathBuf>, format: FileFormat) -> Self {
        let poll = Polled::new(FileLookup::new(path.into(), format, READ_TIMEOUT));
        let poll = poll.interval(Duration::from_secs(1)).min_ttl(SETTLE);
        Self {
            poll: poll.jitter(Duration::ZERO),
        }
    }

    /// Sets the time between two reads. Default: 1 s; less than 100 ms counts as 100 ms.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.poll = self.poll.interval(interval);
        self
    }

    /// Reads the file once, without following it.
    ///
    /// # Errors
    ///
    /// See the table above.
    pub async fn read(&self) -> Result<Snapshot, DiscoveryError> {
        Ok(self.poll.inner().lookup().await?.snapshot)
    }
}

forward_source!([] File, self => self.poll);
