//! Pipes for splice(2), and the worker's pool of them.
//!
//! A pipe holds references to pages of the kernel, so bytes move from socket to socket without being copied. Like the
//! scratch buffer it is borrowed for a step, and given back as soon as the sink has accepted everything.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::process::{Resource, getrlimit};

use super::socket::transfer_to;
use crate::net::stream::Stream;

/// The capacities of a pipe in bytes, of which it gets the first that the kernel grants.
///
/// The kernel grants an unprivileged user 64 pipes of the first size (`fs.pipe-user-pages-soft`). A pipe smaller than the
/// last size is not worth its system calls.
const CAPACITIES: [usize; 3] = [1 << 20, 1 << 18, 1 << 16];

/// How many idle pipes a worker keeps. More are open only while sinks are blocked.
const POOLED: usize = 8;

/// The most pipes of the process: a gibibyte if all are full.
const MOST: usize = 1024;

/// Pipes, of two descriptors each, may take one of this many parts of the descriptors.
const SHARE: u64 = 8;

/// How many pipes of the process are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many may be open, by the limit on descriptors when the first pipe was opened.
static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / SHARE / 2).map_or(MOST, |pipes| pipes.min(MOST))
});

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe and the number of bytes in it. Dropping it drops the bytes.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    capacity: usize,
    len: usize,
    _permit: PipePermit,
}

impl Pipe {
    /// Borrows an empty pipe. `None` if none is left or the system lacks something; the next step may ask again.
    pub(super) fn borrow() -> Option<Self> {
        POOL.with_borrow_mut(Vec::pop).or_else(Self::open)
    }

    /// Returns the pipe to the worker's pool if it is empty and the pool has room. Otherwise closes it.
    pub(super) fn give_back(self) {
        POOL.with_borrow_mut(|pool| {
            if self.is_empty() && pool.len() < POOLED {
                pool.push(self);
            }
        });
    }

    fn open() -> Option<Self> {
        let permit = PipePermit::get()?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let mut granted = CAPACITIES.iter();
        let capacity = granted.find_map(|&size| fcntl_setpipe_size(&writer, size).ok())?;
        Some(Self {
            reader,
            writer,
            capacity,
            len: 0,
            _permit: permit,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Moves at most `limit` bytes from `source` into the pipe by one system call.
    ///
    /// `Ok(0)` and "would block" leave the readiness of the source unchanged: splice(2) returns either in front of an
    /// urgent byte as well.
    ///
    /// Fewer bytes than the capacity do not mean that the source is drained: a pipe is full when it holds a certain number
    /// of pieces, however short they are. So only an empty pipe is filled: "would block" then always refers to the source.
    pub(super) fn fill(&mut self, source: &Stream, limit: usize) -> io::Result<usize> {
        debug_assert!(self.is_empty(), "a pipe is filled when it is empty");
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let most = self.capacity.min(limit);
        let n = splice(source, None, &self.writer, None, most, flags)?;
        self.len = n;
        Ok(n)
    }

    /// Moves bytes from the pipe to `sink` by one system call.
    pub(super) fn drain(&mut self, sink: &Stream) -> io::Result<usize> {
        let n = transfer_to(sink, self.len, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&self.reader, None, sink, None, self.len, flags)?)
        })?;
        self.len -= n;
        Ok(n)
    }
}

/// Whether `error` means that the system cannot splice. It says nothing about the socket.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    const UNSUPPORTED: [Errno; 5] = [
        Errno::INVAL,
        Errno::NOMEM,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::PERM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| UNSUPPORTED.contains(&errno))
}

/// The right to have one of the pipes of the process open.
#[derive(Debug)]
struct PipePermit;

impl PipePermit {
    fn get() -> Option<Self> {
        let limit = *LIMIT;
        let more = |open| (open < limit).then_some(open + 1);
        OPEN.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self)
    }
}

impl Drop for PipePermit {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}
