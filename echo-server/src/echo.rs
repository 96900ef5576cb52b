//! One connection: reads a chunk, answers it, reads the next.
//!
//! No queue lies between reading and writing. So memory is bounded, and a client that does not read gets back-pressure.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::select;
use tokio_util::sync::CancellationToken;

/// The longest line, newline included, that is collected before it is answered: 16 KiB.
///
/// A longer line is answered while it arrives: the prefix, the collected bytes, then its other bytes as they arrive. The
/// answer differs in time alone.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Answers the lines of `stream` until the client half-closes, or after `stop` is cancelled until no more input is
/// buffered.
///
/// Costs one read per chunk and, while the answers fit into one buffer, one write.
pub(crate) async fn echo<S>(stream: S, prefix: &[u8], stop: &CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = vec![0; LINE_LIMIT];
    let mut filled = 0;
    let mut answers = Answers::new(stream, prefix);
    loop {
        let read = select! {
            biased; // input that has arrived is answered first
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

/// The answers to the client.
struct Answers<'a, S> {
    stream: S,
    prefix: &'a [u8],
    /// Bytes to write. Never grows: it has room for the longest piece with its prefix.
    pending: Vec<u8>,
    /// Whether the prefix of the current line has been written.
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

    /// Answers `input` except a last line that may still end within the limit. Returns the number of bytes used.
    ///
    /// The first `searched` bytes have no newline: a line that arrives byte by byte costs O(1) a byte.
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

    /// Answers `rest`, a last line without a newline.
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
