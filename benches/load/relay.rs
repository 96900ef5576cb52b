//! The bare loop: accept4, socket, connect, setsockopt, two epoll_ctl, the transfers and two close for a connection.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use slab::Slab;

use super::poller::{BOTH, Flags, Poller, READ};
use super::socket::{Transfer, accept, connect, listen, receive, send};

const BUFFER: usize = 64 << 10;

/// The key of the listener.
const LISTENER: usize = usize::MAX;

const CLIENT: usize = 0;
const BACKEND: usize = 1;

/// A session. The key of each side in the poller is `2 * session + side`.
struct Session {
    sides: [Side; 2],
    is_connected: bool,
    /// Whether the client acted before the backend was connected.
    has_early: bool,
    has_early_end: bool,
}

struct Side {
    socket: OwnedFd,
    /// What its peer sent and it could not yet take.
    held: Vec<u8>,
}

pub(crate) fn relay(addr: SocketAddrV4, backends: &[SocketAddrV4]) -> io::Result<()> {
    let listener = listen(addr)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER, Flags::IN)?;
    let mut sessions: Slab<Session> = Slab::new();
    let mut buffer = vec![0; BUFFER];
    let mut turns = backends.iter().cycle();
    loop {
        for index in 0..poller.wait(None)? {
            let (key, flags) = poller.event(index);
            if key == LISTENER {
                if let (Some(client), Some(to)) = (accept(&listener), turns.next()) {
                    begin(&poller, &mut sessions, client, *to)?;
                }
                continue;
            }
            let (number, side) = (key / 2, key % 2);
            if let Some(session) = sessions.get_mut(number)
                && !session.advance(&poller, number, side, flags, &mut buffer)?
            {
                sessions.remove(number);
            }
        }
    }
}

fn begin(
    poller: &Poller,
    sessions: &mut Slab<Session>,
    client: OwnedFd,
    to: SocketAddrV4,
) -> io::Result<()> {
    let Ok(backend) = connect(to) else {
        return Ok(());
    };
    let entry = sessions.vacant_entry();
    let number = entry.key();
    poller.add(&client, 2 * number + CLIENT, READ)?;
    poller.add(&backend, 2 * number + BACKEND, BOTH)?;
    let sides = [client, backend].map(|socket| Side {
        socket,
        held: Vec::new(),
    });
    entry.insert(Session {
        sides,
        is_connected: false,
        has_early: false,
        has_early_end: false,
    });
    Ok(())
}

impl Session {
    /// Acts on an event of `side`. Returns whether the session goes on.
    fn advance(
        &mut self,
        poller: &Poller,
        number: usize,
        side: usize,
        flags: Flags,
        buffer: &mut [u8],
    ) -> io::Result<bool> {
        let ends = flags.intersects(Flags::RDHUP | Flags::HUP | Flags::ERR);
        let connects = side == BACKEND && !self.is_connected && flags.contains(Flags::OUT);
        if connects {
            self.is_connected = true;
        }
        if !self.is_connected {
            self.has_early |= side == CLIENT;
            self.has_early_end |= side == CLIENT && ends;
            return Ok(side == CLIENT || !ends);
        }
        // What the client sent before, and perhaps its end.
        let is_early = connects && self.has_early;
        if (is_early || flags.contains(Flags::OUT) && !self.sides[side].held.is_empty())
            && !self.pump(poller, number, side, self.has_early_end, buffer)?
        {
            return Ok(false);
        }
        // An end may be behind the bytes.
        Ok(!(ends || flags.contains(Flags::IN))
            || self.pump(poller, number, 1 - side, ends, buffer)?)
    }

    /// Moves bytes to the side `to`. Returns false at an end. Unless it reads `to_end`, a short read has emptied the socket.
    fn pump(
        &mut self,
        poller: &Poller,
        number: usize,
        to: usize,
        to_end: bool,
        buffer: &mut [u8],
    ) -> io::Result<bool> {
        let [client, backend] = &mut self.sides;
        let (sink, source) = match to {
            CLIENT => (client, backend),
            _ => (backend, client),
        };
        while !sink.held.is_empty() {
            match send(&sink.socket, &sink.held) {
                Transfer::Moved(len) => drop(sink.held.drain(..len)),
                Transfer::Blocked => return Ok(true),
                Transfer::Ended => return Ok(false),
            }
        }
        loop {
            let len = match receive(&source.socket, buffer) {
                Transfer::Moved(len) => len,
                Transfer::Blocked => return Ok(true),
                Transfer::Ended => return Ok(false),
            };
            let sent = match send(&sink.socket, &buffer[..len]) {
                Transfer::Moved(sent) => sent,
                Transfer::Blocked => 0,
                Transfer::Ended => return Ok(false),
            };
            if sent < len {
                sink.held.extend_from_slice(&buffer[sent..len]);
                // Registers again, so the edge cannot be lost.
                poller.modify(&sink.socket, 2 * number + to, BOTH)?;
                return Ok(true);
            }
            if len < buffer.len() && !to_end {
                return Ok(true);
            }
        }
    }
}
