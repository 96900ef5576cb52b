//! Pipes for splice(2), and the worker's pool of them.
//!
//! A pipe carries references to the kernel's pages, so that bytes go from socket to socket without being copied. Like
//! the scratch buffer it is borrowed for a step, and given back as soon as the sink has taken everything.

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

/// What a pipe may hold, the first that the kernel grants. It lets an unprivileged user have 64 pipes of the first
/// (`fs.pipe-user-pages-soft`); one smaller than the last is not worth its system calls.
const CAPACITIES: [usize; 3] = [1 << 20, 1 << 18, 1 << 16];

/// Pipes that a worker keeps for its next steps. More are open only while sinks are blocked.
const POOLED: usize = 8;

/// Pipes of the process at the most: a gibibyte if all are full.
const MOST: usize = 1024;

/// The part of the descriptors that pipes may take, two each.
const SHARE: u64 = 8;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many may be open, by the limit on descriptors when the first was wanted.
static LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors / SHARE / 2).map_or(MOST, |pipes| pipes.min(MOST))
});

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe that knows how much is in it. Dropping it drops the bytes.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    capacity: usize,
    len: usize,
    _permit: Permit,
}

impl Pipe {
    /// An empty pipe. `None` where there are none left or the system lacks something; the next step may ask again.
    pub(super) fn borrow() -> Option<Self> {
        POOL.with_borrow_mut(Vec::pop).or_else(Self::open)
    }

    /// Keeps the pipe for others if it is empty and the pool has room.
    pub(super) fn give_back(self) {
        POOL.with_borrow_mut(|pool| {
            if self.is_empty() && pool.len() < POOLED {
                pool.push(self);
            }
        });
    }

    fn open() -> Option<Self> {
        let permit = Permit::get()?;
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

    /// Moves bytes from `source` into the pipe, once, at most `limit`. `Ok(0)` and "would block" leave the readiness of
    /// the source as it is: splice(2) says either in front of an urgent byte, too.
    ///
    /// Fewer than there is room for do not mean that the source is drained: a pipe is full when it holds a certain
    /// number of pieces, however short they are. Therefore only an empty pipe is filled, where "would block" can but
    /// mean the source.
    pub(super) fn fill(&mut self, source: &Stream, limit: usize) -> io::Result<usize> {
        debug_assert!(self.is_empty(), "a pipe is filled when it is empty");
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let most = self.capacity.min(limit);
        let n = splice(source, None, &self.writer, None, most, flags)?;
        self.len = n;
        Ok(n)
    }

    /// Moves bytes from the pipe to `sink`, once.
    pub(super) fn drain(&mut self, sink: &Stream) -> io::Result<usize> {
        let n = transfer_to(sink, self.len, || {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            Ok(splice(&self.reader, None, sink, None, self.len, flags)?)
        })?;
        self.len -= n;
        Ok(n)
    }
}

/// Whether `error` says that the system cannot splice, which says nothing about the socket.
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

/// One of the pipes that the process may have.
#[derive(Debug)]
struct Permit;

impl Permit {
    fn get() -> Option<Self> {
        let limit = *LIMIT;
        let more = |open| (open < limit).then_some(open + 1);
        OPEN.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}
