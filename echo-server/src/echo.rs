//! One connection: reads a chunk, answers it, reads the next.
//!
//! There is no queue between the two, which is what bounds the memory and pushes back on a client that does not
//! read.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::select;
use tokio_util::sync::CancellationToken;

/// The longest line, newline included, that is collected before it is answered: 16 KiB.
///
/// A longer one is answered while it arrives: the prefix, what has been collected, then its other bytes as they
/// come. The reader of the answer sees no difference but the time.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Answers the lines of `stream` until the client half-closes or, once `stop` is cancelled, until no more input
/// is at hand.
///
/// Costs one read and, while the answers fit in one buffer, one write per chunk that arrives.
pub(crate) async fn echo<S>(stream: S, prefix: &[u8], stop: &CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = vec![0; LINE_LIMIT];
    let mut filled = 0;
    let mut answers = Answers::new(stream, prefix);
    loop {
        let read = select! {
            biased; // what has arrived is answered first
            read = answers.stream.read(&mut input[filled..]) => read?,
            () = stop.cancelled() => return Ok(()),
        };
        if read == 0 {
            return answers.finish(&input[..filled]).await;
        }
        let answered = answers.answer(&input[..filled + read], filled).await?;
        filled += read;
        input.copy_within(answered..filled, 0);
        filled -= answered;
    }
}

/// The way back to the client.
struct Answers<'a, S> {
    stream: S,
    prefix: &'a [u8],
    /// What is to be written. Never grows: it has room for the longest piece with its prefix.
    pending: Vec<u8>,
    /// Whether the answer to the line at hand has begun, and its prefix with it.
    inside_line: bool,
}

impl<'a, S: AsyncWrite + Unpin> Answers<'a, S> {
    fn new(stream: S, prefix: &'a [u8]) -> Self {
        Self {
            stream,
            prefix,
            pending: Vec::with_capacity(prefix.len() + LINE_LIMIT),
            inside_line: false,
        }
    }

    /// Answers `input` but for a last line that may still end within the limit; returns the bytes used.
    ///
    /// The first `searched` bytes are known to have no newline: a line that comes byte by byte costs O(1) a byte.
    async fn answer(&mut self, input: &[u8], searched: usize) -> io::Result<usize> {
        let newline = |byte: &u8| *byte == b'\n';
        let last = input[searched..].iter().rposition(newline);
        let (lines, rest) = input.split_at(last.map_or(0, |at| searched + at + 1));
        for line in lines.split_inclusive(newline) {
            self.push(line).await?;
        }
        let streams = self.inside_line || rest.len() == LINE_LIMIT;
        if streams {
            self.push(rest).await?;
        }
        self.flush().await?;
        Ok(if streams { input.len() } else { lines.len() })
    }

    /// Answers the last line, `rest`, whose newline did not come.
    async fn finish(mut self, rest: &[u8]) -> io::Result<()> {
        if !rest.is_empty() {
            self.push(rest).await?;
        }
        if self.inside_line {
            self.push(b"\n").await?;
        }
        self.flush().await
    }

    async fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let prefix = if self.inside_line { &[] } else { self.prefix };
        if self.pending.len() + prefix.len() + piece.len() > self.pending.capacity() {
            self.flush().await?;
        }
        self.pending.extend_from_slice(prefix);
        self.pending.extend_from_slice(piece);
        self.inside_line = !piece.ends_with(b"\n");
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.pending).await?;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
