//! The watch: it joins the messages of the kernel with dumps.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::select;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::event::NetworkEvent;
use super::message::{Message, messages};
use super::socket::{Datagram, dump, receive, subscribe};
use super::state::{Facts, NetworkState};
use crate::net::stream::register;

/// The size of the buffer at the beginning. Most messages have some hundred bytes.
const BUFFER: usize = 8 * 1024;

/// The time from the end of a dump to the next one, which reads all routes of the machine.
const DUMP_INTERVAL: Duration = Duration::from_millis(100);

/// How many datagrams are read before other tasks run.
const DATAGRAMS: usize = 64;

/// Watches links, addresses and default routes of this machine, or of the network namespace that it is opened in.
///
/// What it does not see: routes to single networks that come and go, switches that do not forward, and routers that fail.
///
/// Takes a descriptor. Costs a system call for each change, and some for a dump of everything, on a thread that ends with it: when
/// a link or an address is lost, a default route changes, or the kernel has more changes than the socket has room for.
#[derive(Debug)]
pub struct NetworkWatch {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
    state: NetworkState,
    /// Only a dump tells what is there now.
    is_stale: bool,
    /// No dump begins before.
    next_dump: Instant,
    running_dump: Option<oneshot::Receiver<io::Result<Facts>>>,
}

impl NetworkWatch {
    /// Begins to watch. What is there now makes no event. Some system calls, which do not wait.
    ///
    /// Must be called in a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// The kernel or a sandbox refuses the socket (in systemd's units `RestrictAddressFamilies` has to name `AF_NETLINK`).
    pub fn open() -> io::Result<Self> {
        // In this order, so that no change is missed.
        let socket = register(subscribe()?, Interest::READABLE)?;
        let facts = dump()?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
            state: NetworkState::new(facts),
            is_stale: false,
            next_dump: Instant::now(),
            running_dump: None,
        })
    }

    /// The next event. Several events of one change come one after the other, losses first.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// The socket fails, or a dump, which needs a thread and a descriptor. A later call tries again.
    pub async fn next(&mut self) -> io::Result<NetworkEvent> {
        loop {
            if let Some(event) = self.state.next_event() {
                return Ok(event);
            }
            if let Some(running) = &mut self.running_dump {
                // Nothing is read meanwhile: the messages in the socket are newer than the dump, or say the same.
                let dumped = running.await;
                self.running_dump = None;
                self.next_dump = Instant::now() + DUMP_INTERVAL;
                let dumped = dumped.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
                let facts = dumped.inspect_err(|_| self.is_stale = true)?;
                self.state.replace(facts, Instant::now());
            } else if self.is_stale {
                select! {
                    () = sleep_until(self.next_dump) => self.begin_dump()?,
                    read = Self::readable(&self.socket) => {
                        read?;
                        self.read()?;
                    }
                }
            } else {
                Self::readable(&self.socket).await?;
                self.read()?;
            }
        }
    }

    async fn readable(socket: &AsyncFd<OwnedFd>) -> io::Result<()> {
        socket.readable().await.map(drop)
    }

    /// Takes the messages that wait in the socket, up to a number.
    fn read(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..DATAGRAMS {
            let buffer = &mut self.buffer;
            let received = self
                .socket
                .try_io(Interest::READABLE, |socket| receive(socket, buffer));
            match received {
                Ok(Datagram::Read(length)) => {
                    let all = messages(&self.buffer[..length]);
                    for message in all.filter_map(|message| Message::read(&message)) {
                        self.is_stale |= self.state.take(message, now);
                    }
                }
                Ok(Datagram::Overrun) => self.is_stale = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn begin_dump(&mut self) -> io::Result<()> {
        let (done, running) = oneshot::channel();
        // Tried again after the interval if it fails.
        self.next_dump = Instant::now() + DUMP_INTERVAL;
        let thread = thread::Builder::new().name("network-dump".to_owned());
        thread.spawn(move || {
            // The receiver is gone if the watch is.
            let _ = done.send(dump());
        })?;
        self.is_stale = false;
        self.running_dump = Some(running);
        Ok(())
    }
}
