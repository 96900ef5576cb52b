//! epoll(7).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData};
use rustix::io::Errno;

pub(crate) use rustix::event::epoll::EventFlags as Flags;

/// The events of one wait.
const EVENTS: usize = 1024;

/// Readable, at the edge.
pub(crate) const READ: Flags = Flags::IN.union(Flags::RDHUP).union(Flags::ET);

/// Readable or writable, at the edge.
pub(crate) const BOTH: Flags = READ.union(Flags::OUT);

/// An epoll instance and the events of the last wait.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// A socket that is closed is deregistered by the kernel.
    pub(crate) fn add(&self, socket: impl AsFd, key: usize, flags: Flags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, data(key), flags)?)
    }

    pub(crate) fn modify(&self, socket: impl AsFd, key: usize, flags: Flags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, data(key), flags)?)
    }

    /// Waits for events, for this time at most.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The key and the flags of the event at `index`. Its socket may have been closed since, and its key may be another's now.
    pub(crate) fn event(&self, index: usize) -> (usize, Flags) {
        let event = self.events[index];
        (event.data.u64() as usize, event.flags)
    }
}

fn data(key: usize) -> EventData {
    EventData::new_u64(key as u64)
}
