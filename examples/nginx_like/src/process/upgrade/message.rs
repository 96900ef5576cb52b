//! What the two processes of an upgrade say to each other.
//!
//! They may be of different versions: a frame with an unknown tag is ignored.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use lb_proxy::settings::InheritableSockets;

use crate::process::framing::{self, RawFrame};

/// A byte from the new process: it accepts.
pub(super) const READY: u8 = b'R';

/// A byte from the old process, after [`READY`]: it knows.
pub(super) const COMMITTED: u8 = b'C';

/// A descriptor of a socket. The body is [`EXTERNAL`] or empty.
const SOCKET: u8 = b's';

/// No more sockets follow.
const END: u8 = b'e';

/// The socket is systemd's.
const EXTERNAL: &[u8] = b"external";

/// More bytes than any body has.
const MAX_BODY: u64 = 1 << 16;

/// Sends all sockets.
pub(super) fn send_sockets(channel: &UnixStream, all: &[InheritableSockets]) -> io::Result<()> {
    for sockets in all {
        let body = match sockets.is_external() {
            true => EXTERNAL,
            false => &[],
        };
        let mut descriptors = sockets.descriptors();
        descriptors.try_for_each(|socket: BorrowedFd<'_>| {
            framing::send(channel, SOCKET, body, Some(socket))
        })?;
    }
    framing::send(channel, END, &[], None)
}

/// Receives what [`send_sockets`] sends.
pub(super) fn receive_sockets(channel: &UnixStream) -> io::Result<Vec<InheritableSockets>> {
    let (mut own, mut external) = (Vec::new(), Vec::new());
    loop {
        match framing::receive(channel, MAX_BODY)? {
            Some(RawFrame {
                tag: SOCKET,
                body,
                file: Some(socket),
            }) => match body == EXTERNAL {
                true => external.push(socket),
                false => own.push(socket),
            },
            Some(RawFrame { tag: END, .. }) => break,
            Some(_) => {}
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    // A descriptor that is no listening socket is closed.
    let (mut all, _) = InheritableSockets::from_descriptors(own);
    let (external, _) = InheritableSockets::from_descriptors(external);
    all.extend(external.into_iter().map(|socket| socket.external(true)));
    Ok(all)
}
