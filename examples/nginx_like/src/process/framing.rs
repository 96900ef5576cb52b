//! Frames on a unix socket: a tag, a body and optionally an open file.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A tag and the length of the body.
const HEADER: usize = 9;

/// A frame as it was received.
#[derive(Debug)]
pub(crate) struct RawFrame {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) file: Option<OwnedFd>,
}

/// Sends a frame. Blocks while the socket's buffer is full.
pub(crate) fn send(
    mut socket: &UnixStream,
    tag: u8,
    body: &[u8],
    file: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut header = [tag; HEADER];
    header[1..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Option<[BorrowedFd<'_>; 1]> = file.map(|file| [file]);
    if let Some(files) = &files {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let header_slice = [IoSlice::new(&header)];
    let sent = sendmsg(socket, &header_slice, &mut control, SendFlags::NOSIGNAL)?;
    socket.write_all(&header[sent..])?;
    socket.write_all(body)
}

/// The next frame. `None` if the other side has closed. A body above `max_body` bytes is an error.
pub(crate) fn receive(mut socket: &UnixStream, max_body: u64) -> io::Result<Option<RawFrame>> {
    let mut header = [0; HEADER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = {
        let mut slices = [IoSliceMut::new(&mut header)];
        recvmsg(socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes
    };
    if received == 0 {
        return Ok(None);
    }
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let file: Option<OwnedFd> = files.flatten().next();
    socket.read_exact(&mut header[received..])?;
    let [tag, length @ ..] = header;
    let length = u64::from_le_bytes(length);
    if length > max_body {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    if socket.take(length).read_to_end(&mut body)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(RawFrame { tag, body, file }))
}
