//! The system's own configuration: `/etc/resolv.conf` and `/etc/hosts`.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::Instant;

use super::answer::Family;
use super::server::usable;
use crate::error::DiscoveryError;

/// The least time between two looks at whether a file has changed. A look costs one system call.
const CHECK_EVERY: Duration = Duration::from_secs(1);

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What `resolv.conf` says.
#[derive(Clone, Debug)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<Name>,
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: usize,
}

impl ResolvConf {
    /// Reads a file's `text`. One that names no server means the local machine (resolv.conf(5)).
    pub(super) fn parse(text: &[u8]) -> Result<Self, BoxError> {
        let names_a_server = |line: &[u8]| line.trim_ascii_start().starts_with(b"nameserver");
        let mut text = text.to_vec();
        if !text.split(|byte| *byte == b'\n').any(names_a_server) {
            text.extend_from_slice(b"\nnameserver 127.0.0.1\n");
        }
        let (config, options) = parse_resolv_conf(text)?;
        Ok(Self {
            servers: config
                .name_servers()
                .iter()
                .map(|server| SocketAddr::new(server.ip, 53))
                .collect(),
            search: config.search().to_vec(),
            ndots: options.ndots,
            timeout: options.timeout,
            attempts: options.attempts,
        })
    }
}

/// The addresses that `hosts` gives `name`, in the file's order.
pub(super) fn find_host(hosts: &Hosts, name: &Name, families: &[Family]) -> Vec<IpAddr> {
    let of = |family: &Family| {
        let query = Query::query(name.clone(), family.record_type());
        hosts.lookup_static_host(&query)
    };
    families
        .iter()
        .filter_map(of)
        .flat_map(|lookup| {
            let records = lookup.answers().iter();
            records
                .filter_map(|record| record.data.ip_addr())
                .collect::<Vec<_>>()
        })
        .filter(|addr| usable(*addr))
        .collect()
}

/// Reads a hosts file's `text`; lines that make no sense are skipped.
pub(super) fn parse_hosts(text: &[u8]) -> Result<Hosts, BoxError> {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(text)?;
    Ok(hosts)
}

/// A file that is read again when it has changed.
#[derive(Debug)]
pub(super) struct WatchedFile {
    path: PathBuf,
    checked: Instant,
    seen: Option<Stamp>,
    readable: bool,
}

/// What changes when a file's content does: the time of the last write and the length.
type Stamp = (SystemTime, u64);

impl WatchedFile {
    /// Reads the file for the first time. One that does not exist counts as empty, as it does for the system.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<u8>), DiscoveryError> {
        let seen = stamp(path).ok();
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(DiscoveryError::Config {
                    what: format!("reading {}", path.display()).into(),
                    problem: "the file cannot be read".into(),
                    source: Some(error.into()),
                });
            }
        };
        let file = Self {
            path: path.to_owned(),
            checked: Instant::now(),
            seen,
            readable: true,
        };
        Ok((file, text))
    }

    /// The file's text if it has changed since it was last read, or, once, why it cannot be read any more.
    ///
    /// A file that is gone or empty has not changed: it is being replaced.
    pub(super) fn changed(&mut self) -> Option<Result<Vec<u8>, BoxError>> {
        let now = Instant::now();
        if now.saturating_duration_since(self.checked) < CHECK_EVERY {
            return None;
        }
        self.checked = now;
        let stamp = stamp(&self.path).ok()?;
        if self.seen == Some(stamp) || stamp.1 == 0 {
            return None;
        }
        match fs::read(&self.path) {
            Ok(text) => {
                self.readable = true;
                self.seen = Some(stamp);
                Some(Ok(text))
            }
            Err(error) if self.readable => {
                self.readable = false;
                Some(Err(error.into()))
            }
            Err(_) => None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}
