//! The format of requests and answers: frames of a tag, a body and optionally an open file.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A tag and the length of the body.
const HEADER: usize = 9;

/// The limit of a body. A configuration has 64 MiB at most.
const MAX_BODY: u64 = 96 << 20;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Tag {
    /// Requests. The body is a path, but for that of `Load`, which is empty. The file is a socket for the answer.
    Load = b'l',
    OpenLog = b'o',
    OpenPid = b'p',
    WritePid = b'w',
    RemovePid = b'r',
    OpenUnix = b'u',
    OpenToken = b't',
    RemoveUnix = b'x',
    /// Answers. The body is a recording of the configuration, or empty.
    Done = b'd',
    /// The body is the number of a system error, four bytes, or the text of another error.
    Failed = b'f',
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) tag: Tag,
    pub(super) body: Vec<u8>,
    pub(super) file: Option<File>,
}

impl Tag {
    fn from_byte(byte: u8) -> io::Result<Self> {
        let all = [
            Self::Load,
            Self::OpenLog,
            Self::OpenPid,
            Self::WritePid,
            Self::RemovePid,
            Self::OpenUnix,
            Self::OpenToken,
            Self::RemoveUnix,
            Self::Done,
            Self::Failed,
        ];
        let found = all.into_iter().find(|tag| *tag as u8 == byte);
        found.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

pub(super) fn send(
    mut socket: &UnixStream,
    tag: Tag,
    body: &[u8],
    file: Option<&File>,
) -> io::Result<()> {
    let mut header = [tag as u8; HEADER];
    header[1..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Option<[BorrowedFd<'_>; 1]> = file.map(|file| [file.as_fd()]);
    if let Some(files) = &files {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let header_slice = [IoSlice::new(&header)];
    let sent = sendmsg(socket, &header_slice, &mut control, SendFlags::NOSIGNAL)?;
    socket.write_all(&header[sent..])?;
    socket.write_all(body)
}

/// The next frame. `None` if the other side has closed.
pub(super) fn receive(mut socket: &UnixStream) -> io::Result<Option<Frame>> {
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
    if length > MAX_BODY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    if socket.take(length).read_to_end(&mut body)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Frame {
        tag: Tag::from_byte(tag)?,
        body,
        file: file.map(File::from),
    }))
}
