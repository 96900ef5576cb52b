//! The backends.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use slab::Slab;

use super::Mode;
use super::poller::{Flags, Poller};
use super::socket::{Transfer, accept, listen, receive, send};

const BUFFER: usize = 256 << 10;

pub(crate) fn serve(addrs: &[SocketAddrV4], mode: Mode) -> io::Result<()> {
    let mut poller = Poller::new()?;
    let mut buffer = vec![7; BUFFER];
    let mut sockets = Slab::new();
    for addr in addrs {
        let listener = listen(*addr)?;
        let entry = sockets.vacant_entry();
        poller.add(&listener, entry.key(), Flags::IN)?;
        entry.insert(listener);
    }
    let wanted = match mode {
        Mode::Source => Flags::IN | Flags::OUT,
        Mode::Echo | Mode::Answer | Mode::Sink => Flags::IN,
    };
    println!("{{\"listening\":{}}}", addrs.len());
    loop {
        for index in 0..poller.wait(None)? {
            let (key, flags) = poller.event(index);
            if key < addrs.len() {
                while let Some(socket) = accept(&sockets[key]) {
                    if mode == Mode::Sink {
                        send(&socket, b"x");
                    }
                    let entry = sockets.vacant_entry();
                    poller.add(&socket, entry.key(), wanted)?;
                    entry.insert(socket);
                }
            } else if let Some(socket) = sockets.get(key)
                && !goes_on(socket, flags, mode, &mut buffer)
            {
                sockets.remove(key);
            }
        }
    }
}

/// One step of a connection. Returns whether it stays open.
fn goes_on(socket: &OwnedFd, flags: Flags, mode: Mode, buffer: &mut [u8]) -> bool {
    if flags.contains(Flags::OUT) && send(socket, buffer) == Transfer::Ended {
        return false;
    }
    if !flags.intersects(Flags::IN | Flags::HUP | Flags::ERR) {
        return true;
    }
    match receive(socket, buffer) {
        Transfer::Blocked => true,
        Transfer::Ended => false,
        Transfer::Moved(len) => match mode {
            Mode::Source | Mode::Sink => true,
            // Messages are smaller than any send buffer.
            Mode::Echo => send(socket, &buffer[..len]) == Transfer::Moved(len),
            Mode::Answer => {
                send(socket, &buffer[..len]);
                false
            }
        },
    }
}
