//! Messages between the two processes of an upgrade.
//!
//! They may be of different versions. The old process says first which version of these messages it sends, and which one the new
//! process must know at least ([`HELLO`]). A new process that does not know it refuses; one that does ignores frames with an unknown
//! tag. An old process that says nothing sends those of version 1. To an old process a new one sends nothing but [`READY`].

use std::ffi::OsStr;
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use lb_core::{Endpoint, Escaped};
use lb_proxy::settings::InheritableSockets;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::process::framing::{self, RawFrame};
use crate::version::version;

/// A byte from the new process: it accepts.
pub(super) const READY: u8 = b'R';

/// A byte from the old process, after [`READY`]: it knows.
pub(super) const COMMITTED: u8 = b'C';

/// The version of the messages that this program sends. Raised with a message that is new.
const PROTOCOL: u32 = 1;

/// The version that a new process must know. Raised with a message that must not be ignored.
const NEEDED: u32 = 1;

/// The first frame. The body is [`PROTOCOL`] and [`NEEDED`], four bytes each, and the version of the program.
const HELLO: u8 = b'v';

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

/// What the old process hands over.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) sockets: Vec<InheritableSockets>,
    /// The version of the old binary, if it says so.
    pub(super) version: Option<String>,
}

/// Why a process does not take over.
#[derive(Debug, thiserror::Error)]
enum ProtocolError {
    #[error("the old binary sends a first message that is cut off")]
    CutOff,
    #[error(
        "the old binary, nginx_like {}, hands over by version {needed} of the protocol, and this one knows version {PROTOCOL}: restart \
         the server instead",
        Escaped(version)
    )]
    TooNew { version: String, needed: u32 },
}

/// Sends all sockets.
pub(super) fn send_sockets(channel: &UnixStream, all: &[InheritableSockets]) -> io::Result<()> {
    let numbers = [PROTOCOL.to_le_bytes(), NEEDED.to_le_bytes()].concat();
    let hello = [&numbers, version().as_bytes()].concat();
    framing::send(channel, HELLO, &hello, None)?;
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
///
/// # Errors
///
/// The old process ends, or sends messages of a version that this program does not know.
pub(super) fn receive_sockets(channel: &UnixStream) -> io::Result<Handover> {
    let (mut own, mut external, mut unix) = (Vec::new(), Vec::new(), Vec::new());
    let mut version = None;
    loop {
        match framing::receive(channel, MAX_BODY)? {
            Some(RawFrame {
                tag: HELLO, body, ..
            }) => version = Some(read_hello(&body).map_err(io::Error::other)?),
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
    Ok(Handover {
        sockets: all,
        version,
    })
}

/// Tells the other process that this one begins to end. Returns whether that one serves on.
///
/// If both begin to end at the same time, at least one of them gets `false`, and says so to other programs.
pub(super) fn leave_to_peer(channel: &UnixStream) -> bool {
    // An error means that the process has ended.
    let told = channel.shutdown(Shutdown::Write);
    // In this order: each process looks at the other one after it has told that.
    told.is_ok() && !has_shut_down(channel)
}

/// Whether the other process has begun to end.
pub(super) fn has_shut_down(channel: &UnixStream) -> bool {
    let mut shut_down = [PollFd::new(channel, PollFlags::RDHUP)];
    poll(&mut shut_down, Some(&Timespec::default())).is_ok_and(|found| found > 0)
}

/// The version of the old binary.
fn read_hello(body: &[u8]) -> Result<String, ProtocolError> {
    // The version of what is sent does not matter: what is new there may be ignored.
    let numbers = body.split_first_chunk::<8>();
    let (&[_, _, _, _, needed @ ..], version) = numbers.ok_or(ProtocolError::CutOff)?;
    let version = String::from_utf8_lossy(version).into_owned();
    match u32::from_le_bytes(needed) {
        ..=PROTOCOL => Ok(version),
        needed => Err(ProtocolError::TooNew { version, needed }),
    }
}
