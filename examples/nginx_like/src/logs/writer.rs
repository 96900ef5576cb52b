//! Writes the lines of one log: to a file, compressed, to files by name, or to a syslog server.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::event::{PollFd, PollFlags, poll};

use super::chunk::Chunk;
use super::path_cache::PathCache;
use super::syslog::SyslogSocket;

/// What the lines of a log are written to.
#[derive(Debug)]
pub(super) enum Writer {
    File(File),
    /// Each chunk is a member of its own.
    Gzip(File, Compression),
    Paths(PathCache),
    Syslog(SyslogSocket),
}

/// Why lines were not written.
#[derive(Debug)]
pub(super) struct WriteError {
    /// The system call that failed.
    pub(super) call: &'static str,
    pub(super) source: io::Error,
}

impl Writer {
    /// Writes all lines of `chunk`.
    pub(super) fn write(&mut self, chunk: &Chunk) -> Result<(), WriteError> {
        let failed = |call| move |source| WriteError { call, source };
        match self {
            Self::File(file) => put(file, &chunk.bytes).map_err(failed("write()")),
            Self::Gzip(file, level) => {
                put_packed(file, *level, &chunk.bytes).map_err(failed("write()"))
            }
            Self::Paths(cache) => {
                let path = chunk.path.as_deref().unwrap_or_else(|| Path::new(""));
                let put = |file: &File| put(file, &chunk.bytes);
                let opened = cache.with(path, Instant::now(), put);
                opened.map_err(failed("open()"))?.map_err(failed("write()"))
            }
            Self::Syslog(socket) => socket.send(&chunk.bytes).map_err(failed("send()")),
        }
    }

    /// Goes on with `file`, or closes files that are open by name.
    pub(super) fn reopen(&mut self, file: Option<File>) {
        match (self, file) {
            (Self::File(now) | Self::Gzip(now, _), Some(file)) => *now = file,
            (Self::Paths(cache), _) => cache.clear(),
            _ => {}
        }
    }
}

fn put_packed(file: &File, level: Compression, bytes: &[u8]) -> io::Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), level);
    packed.write_all(bytes)?;
    put(file, &packed.finish()?)
}

/// Writes all of `bytes`, also to a pipe that another process has made non-blocking.
pub(super) fn put(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
