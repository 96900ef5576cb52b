//! A relay between any two streams, such as those of TLS.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::deadlines::{Deadlines, WaitState};
use super::pacing::{Pace, Pacing};
use super::{Relay, RelayEnd, RelayReport};
use crate::config::HalfClose;

/// The buffer of a direction.
const BUFFER: usize = 16 * 1024;

/// How many times a direction is read before the other one and other tasks have their turn.
const TURN: usize = 8;

impl Relay {
    /// Relays between any two streams, such as a TLS stream and a [`Connected`](crate::Connected), with the time-outs, the
    /// half-close and the bandwidth of this relay. [`run`](Self::run) and [`run_to`](Self::run_to) are faster: they
    /// know sockets, use splice(2), hold no buffer while they are idle, and forward resets.
    ///
    /// The end of one stream is a shutdown of the other. The streams stay the caller's: after
    /// [`Finished`](RelayEnd::Finished) both have ended, and after any other end the caller should reset them, or drop them
    /// without a shutdown, so that a truncated stream does not look complete. An error of a stream counts as a reset of its
    /// side; bytes that were read before it are written and flushed first. Each direction has a buffer of 16 KiB.
    ///
    /// ```
    /// use lb_proxy::Relay;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let ((mut near, mut client), (mut backend, mut far)) = (duplex(64), duplex(64));
    /// let relay = tokio::spawn(async move {
    ///     Relay::new().run_streams(&mut client, &mut backend).await
    /// });
    /// near.write_all(b"hello").await?;
    /// near.shutdown().await?;
    /// far.shutdown().await?;
    /// let mut received = String::new();
    /// far.read_to_string(&mut received).await?;
    /// assert_eq!(received, "hello");
    /// assert_eq!(relay.await?.bytes_to_backend, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_streams<C, B>(&self, client: &mut C, backend: &mut B) -> RelayReport
    where
        C: AsyncRead + AsyncWrite + Unpin + ?Sized,
        B: AsyncRead + AsyncWrite + Unpin + ?Sized,
    {
        let mut run = StreamRelay {
            up: HalfRelay::default(),
            down: HalfRelay::default(),
            deadlines: Deadlines::new(&self.timeouts, Instant::now()),
            pacing: Pacing::new(self.bandwidth, 0),
            half_close: self.half_close,
        };
        let mut timer = pin!(sleep(Duration::MAX));
        let end = poll_fn(|cx| run.poll(client, backend, timer.as_mut(), cx)).await;
        RelayReport {
            end,
            bytes_to_backend: run.up.written,
            bytes_to_client: run.down.written,
        }
    }
}

/// The state of a running relay.
struct StreamRelay<'a> {
    up: HalfRelay,
    down: HalfRelay,
    deadlines: Deadlines<'a>,
    pacing: Option<Box<Pacing>>,
    half_close: HalfClose,
}

/// One direction.
#[derive(Debug, Default)]
struct HalfRelay {
    buffer: Vec<u8>,
    /// The bytes of the buffer that the sink has to get.
    begin: usize,
    end: usize,
    written: u64,
    needs_flush: bool,
    source: SourceState,
    /// Whether the end was forwarded.
    is_shut: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum SourceState {
    #[default]
    Open,
    Ended,
    Broken,
}

impl StreamRelay<'_> {
    fn poll<C, B>(
        &mut self,
        client: &mut C,
        backend: &mut B,
        timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<RelayEnd>
    where
        C: AsyncRead + AsyncWrite + Unpin + ?Sized,
        B: AsyncRead + AsyncWrite + Unpin + ?Sized,
    {
        let (up, down) = match self.pacing.as_deref_mut() {
            Some(pacing) => (Some(&mut pacing.up), Some(&mut pacing.down)),
            None => (None, None),
        };
        let up = self.up.advance(client, backend, up, cx);
        let down = self.down.advance(backend, client, down, cx);
        let (up, down) = match (up, down) {
            (Err(_), _) => return Poll::Ready(RelayEnd::BackendReset),
            (_, Err(_)) => return Poll::Ready(RelayEnd::ClientReset),
            (Ok(up), Ok(down)) => (up, down),
        };
        let pacing = self.pacing.as_deref_mut();
        // A direction that waits for its bandwidth is not idle.
        if up || down || pacing.is_some_and(Pacing::has_paused) {
            self.deadlines.note_progress();
        }
        match self.end() {
            Some(end) => Poll::Ready(end),
            None => self.poll_expired(timer, cx),
        }
    }

    /// The end, if both directions have come to theirs.
    fn end(&self) -> Option<RelayEnd> {
        let (up, down) = (&self.up, &self.down);
        let broke = |half: &HalfRelay| half.source == SourceState::Broken && half.is_delivered();
        match () {
            () if broke(up) => Some(RelayEnd::ClientReset),
            () if broke(down) => Some(RelayEnd::BackendReset),
            () if up.is_shut && down.is_shut => Some(RelayEnd::Finished),
            () if self.half_close == HalfClose::End => {
                let ends =
                    (up.is_shut && down.is_delivered()) || (down.is_shut && up.is_delivered());
                ends.then_some(RelayEnd::Finished)
            }
            () => None,
        }
    }

    /// Completes when a deadline has passed.
    fn poll_expired(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let waiting = WaitState {
            is_half_closed: self.up.is_shut || self.down.is_shut,
            is_holding: !self.up.is_delivered() || !self.down.is_delivered(),
            is_delivering: false,
        };
        let Some((deadline, end)) = self.deadlines.next(waiting) else {
            return Poll::Pending;
        };
        if deadline != timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        ready!(timer.poll(cx));
        debug_assert!(deadline <= Instant::now());
        Poll::Ready(end)
    }
}

impl HalfRelay {
    /// Whether the sink has all bytes that were read.
    const fn is_delivered(&self) -> bool {
        self.begin == self.end && !self.needs_flush
    }

    /// Moves the bytes that can be moved now. Returns whether some moved, or the error of the sink.
    fn advance<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        mut pace: Option<&mut Pace>,
        cx: &mut Context<'_>,
    ) -> io::Result<bool>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut has_moved = false;
        for _ in 0..TURN {
            match self.step(source, sink, pace.as_deref_mut(), cx) {
                Poll::Ready(Ok(true)) => has_moved = true,
                Poll::Ready(Ok(false)) | Poll::Pending => return Ok(has_moved),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        // There may be more; the other direction comes first.
        cx.waker().wake_by_ref();
        Ok(has_moved)
    }

    /// One write, one read, or the end. Ready with false if nothing is left to do, with an error of the sink.
    fn step<R, W>(
        &mut self,
        source: &mut R,
        sink: &mut W,
        pace: Option<&mut Pace>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        if self.begin < self.end {
            let held = &self.buffer[self.begin..self.end];
            let n = ready!(Pin::new(&mut *sink).poll_write(cx, held))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begin += n;
            self.written += n as u64;
            self.needs_flush = true;
            return Poll::Ready(Ok(true));
        }
        if self.source == SourceState::Open
            && let Poll::Ready(read) = self.poll_fill(source, pace, cx)
        {
            self.source = match read {
                Ok(0) => SourceState::Ended,
                Ok(_) => SourceState::Open,
                Err(_) => SourceState::Broken,
            };
            return Poll::Ready(Ok(true));
        }
        if self.needs_flush {
            ready!(Pin::new(&mut *sink).poll_flush(cx))?;
            self.needs_flush = false;
            return Poll::Ready(Ok(true));
        }
        if self.source == SourceState::Ended && !self.is_shut {
            ready!(Pin::new(&mut *sink).poll_shutdown(cx))?;
            self.is_shut = true;
            return Poll::Ready(Ok(true));
        }
        Poll::Ready(Ok(false))
    }

    /// Reads once into the empty buffer, as much as the pace allows.
    fn poll_fill<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        source: &mut R,
        mut pace: Option<&mut Pace>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = match pace.as_deref_mut() {
            Some(pace) => ready!(pace.poll_room(cx)),
            None => BUFFER,
        };
        self.buffer.resize(BUFFER, 0);
        let mut into = ReadBuf::new(&mut self.buffer[..most.min(BUFFER)]);
        ready!(Pin::new(source).poll_read(cx, &mut into))?;
        (self.begin, self.end) = (0, into.filled().len());
        if let Some(pace) = pace {
            pace.note_read(self.end as u64);
        }
        Poll::Ready(Ok(self.end))
    }
}
