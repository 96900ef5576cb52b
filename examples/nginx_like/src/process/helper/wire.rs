//! Requests and answers, each a frame.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use crate::process::framing::{self, RawFrame};

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
    /// The file of a socket that the process of the old binary opened belongs to this server from now on.
    AdoptUnix = b'a',
    /// The body is `1` if the files of sockets are left at the end, because another process serves them, or `0`.
    KeepUnix = b'k',
    RetirePid = b'm',
    RestorePid = b'b',
    /// Starts the new binary. The answer is its process id, four bytes, and a socket that is its standard input.
    Upgrade = b'n',
    /// Ends the process of the new binary. The body is the number of a signal, four bytes.
    SignalUpgrade = b'q',
    /// The answer is the status of the process of the new binary, four bytes.
    ReapUpgrade = b'z',
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
            Self::AdoptUnix,
            Self::KeepUnix,
            Self::RetirePid,
            Self::RestorePid,
            Self::Upgrade,
            Self::SignalUpgrade,
            Self::ReapUpgrade,
            Self::Done,
            Self::Failed,
        ];
        let found = all.into_iter().find(|tag| *tag as u8 == byte);
        found.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

pub(super) fn send(
    socket: &UnixStream,
    tag: Tag,
    body: &[u8],
    file: Option<&File>,
) -> io::Result<()> {
    framing::send(socket, tag as u8, body, file.map(File::as_fd))
}

/// The next frame. `None` if the other side has closed.
pub(super) fn receive(socket: &UnixStream) -> io::Result<Option<Frame>> {
    let Some(RawFrame { tag, body, file }) = framing::receive(socket, MAX_BODY)? else {
        return Ok(None);
    };
    Ok(Some(Frame {
        tag: Tag::from_byte(tag)?,
        body,
        file: file.map(File::from),
    }))
}
