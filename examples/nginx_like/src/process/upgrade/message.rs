//! Messages between the two processes of an upgrade.
//!
//! They may be of different versions: a frame with an unknown tag is ignored.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use lb_core::Endpoint;
use lb_proxy::settings::InheritableSockets;

use crate::process::framing::{self, RawFrame};

/// A byte from the new process: it accepts.
pub(super) const READY: u8 = b'R';

/// A byte from the old process, after [`READY`]: it knows.
pub(super) const COMMITTED: u8 = b'C';

/// A descriptor of a socket. The body is [`OWN`] or [`EXTERNAL`], and the path of a unix socket.
const SOCKET: u8 = b's';

/// No more sockets follow.
const END: u8 = b'e';

/// A process of this program opened the socket.
const OWN: u8 = b'o';

/// The socket is systemd's.
const EXTERNAL: u8 = b'x';

/// More bytes than any body has.
const MAX_BODY: u64 = 1 << 16;

/// Sends all sockets.
pub(super) fn send_sockets(channel: &UnixStream, all: &[InheritableSockets]) -> io::Result<()> {
    for sockets in all {
        let mut body = vec![match sockets.is_external() {
            true => EXTERNAL,
            false => OWN,
        }];
        if let Endpoint::Unix(path) = sockets.endpoint() {
            body.extend(path.as_os_str().as_bytes());
        }
        let mut descriptors = sockets.descriptors();
        descriptors.try_for_each(|socket: BorrowedFd<'_>| {
            framing::send(channel, SOCKET, &body, Some(socket))
        })?;
    }
    framing::send(channel, END, &[], None)
}

/// Receives what [`send_sockets`] sends.
pub(super) fn receive_sockets(channel: &UnixStream) -> io::Result<Vec<InheritableSockets>> {
    let (mut own, mut external, mut unix) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        match framing::receive(channel, MAX_BODY)? {
            Some(RawFrame {
                tag: SOCKET,
                body,
                file: Some(socket),
            }) => match &*body {
                [] | [OWN] => own.push(socket),
                [EXTERNAL] => external.push(socket),
                [origin, path @ ..] => {
                    let (groups, _) = InheritableSockets::from_descriptors([socket]);
                    let path = Path::new(OsStr::from_bytes(path));
                    let groups = groups.into_iter();
                    unix.extend(groups.map(|socket| {
                        // The helper binds a path below /proc/self/fd.
                        socket.at_path(path).external(*origin == EXTERNAL)
                    }));
                }
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
    all.extend(unix);
    Ok(all)
}
