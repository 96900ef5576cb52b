//! Writes lines on a thread of its own, from a queue with a bound.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tracing::{error, warn};

use crate::embedder_code::catch;

/// How many bytes are gathered for one write.
const BATCH: usize = 64 * 1024;

/// The queue in front of the thread that writes.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: SyncSender<Box<[u8]>>,
    lost: Arc<AtomicU64>,
}

impl LineWriter {
    pub(super) fn start(writer: impl Write + Send + 'static, capacity: usize) -> io::Result<Self> {
        let (lines, queue) = sync_channel(capacity.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        thread::Builder::new()
            .name("lb-access-events".into())
            .spawn(move || write_all(writer, &queue, &counter))?;
        Ok(Self { lines, lost })
    }

    /// Queues a line, or counts it as lost if the queue is full. Never waits.
    pub(super) fn push(&self, line: &[u8]) {
        if self.lines.try_send(line.into()).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// Writes lines, several at once if they wait, until the queue is closed and empty.
fn write_all(mut writer: impl Write, queue: &Receiver<Box<[u8]>>, lost: &AtomicU64) {
    let mut batch = Vec::new();
    let mut has_failed = false;
    // Whether a write failed amid a line.
    let mut is_amid_line = false;
    while let Ok(line) = queue.recv() {
        if is_amid_line {
            batch.push(b'\n');
        }
        let begin = batch.len();
        batch.extend_from_slice(&line);
        let mut count = 1;
        while batch.len() < BATCH
            && let Ok(line) = queue.try_recv()
        {
            batch.extend_from_slice(&line);
            count += 1;
        }
        let mut written = 0;
        // After a panic the writer alone is used again, which its documentation says.
        let caught = catch("JsonEvents::to_writer", || {
            write_batch(&mut writer, &batch, &mut written)
        });
        let has_panicked = caught.is_err();
        let result = caught.unwrap_or_else(|panicked| Err(io::Error::other(panicked.to_string())));
        if let Some(last) = written.checked_sub(1) {
            is_amid_line = batch[last] != b'\n';
        }
        match result {
            Ok(()) => has_failed = false,
            Err(error) => {
                let missing = batch.get(written.max(begin)..).unwrap_or_default();
                let ends = missing.iter().filter(|byte| **byte == b'\n').count();
                // After a failed flush all may be lost.
                let count = if missing.is_empty() {
                    count
                } else {
                    ends as u64
                };
                lost.fetch_add(count, Relaxed);
                // The first failure of a row.
                match has_panicked {
                    _ if has_failed => {}
                    true => error!(%error, "Access events lost"),
                    false => warn!(%error, "Access events lost"),
                }
                has_failed = true;
            }
        }
        batch.clear();
        batch.shrink_to(BATCH);
    }
    if let Err(panicked) = catch("The drop of a writer of access events", || drop(writer)) {
        error!(error = %panicked, "Code of the embedder panicked");
    }
}

/// Writes lines and flushes. Counts the bytes in `written`, also those before an error or a panic.
fn write_batch(writer: &mut impl Write, batch: &[u8], written: &mut usize) -> io::Result<()> {
    while let Some(rest) = batch.get(*written..)
        && !rest.is_empty()
    {
        match writer.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count.min(rest.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Announces each write, and then waits for the lock.
    struct BlockedSink(Arc<Mutex<Vec<u8>>>, Sender<()>);

    impl Write for BlockedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.send(()).unwrap();
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_loses_lines_and_never_waits() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (begins, begun) = channel();
        let held = written.lock().unwrap();
        let capacity = 2;
        let writer =
            LineWriter::start(BlockedSink(Arc::clone(&written), begins), capacity).unwrap();
        writer.push(b"1\n");
        begun.recv().unwrap();
        for line in ["2\n", "3\n", "4\n", "5\n"] {
            writer.push(line.as_bytes());
        }
        assert_eq!(writer.lost(), 2);
        drop(held);
        drop(writer);
        // The thread drops the sender at its end.
        while begun.recv().is_ok() {}
        assert_eq!(*written.lock().unwrap(), b"1\n2\n3\n");
    }

    /// Fails every write.
    struct Broken(Sender<()>);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.send(()).unwrap();
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let (failures, failed) = channel();
        let capacity = 8;
        let writer = LineWriter::start(Broken(failures), capacity).unwrap();
        writer.push(b"1\n");
        failed.recv().unwrap();
        writer.push(b"2\n");
        let lost = Arc::clone(&writer.lost);
        drop(writer);
        while failed.recv().is_ok() {}
        assert_eq!(lost.load(Relaxed), 2);
    }

    /// Takes four bytes, then fails once, then takes all.
    struct FullAmidLine(Vec<u8>, u32);

    impl Write for FullAmidLine {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            let taken = match self.1 {
                1 => &bytes[..4],
                2 => return Err(io::ErrorKind::StorageFull.into()),
                _ => bytes,
            };
            self.0.write(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_written_in_part_ends_before_the_next_and_is_counted() {
        let (lines, queue) = sync_channel(8);
        let send = |line: &[u8]| lines.send(line.into()).unwrap();
        let lost = AtomicU64::new(0);
        // The first batch is gathered from the queue before its write.
        send(b"1\n");
        send(b"2222\n");
        let mut long = vec![b'3'; BATCH];
        long.push(b'\n');
        send(&long);
        send(b"4\n");
        drop(lines);
        let mut sink = FullAmidLine(Vec::new(), 0);
        write_all(&mut sink, &queue, &lost);
        assert_eq!(sink.0, b"1\n22\n4\n");
        assert_eq!(lost.load(Relaxed), 2);
    }

    /// Announces each write, and panics at one of them and when it is dropped.
    struct FragileSink(Arc<Mutex<Vec<u8>>>, Sender<()>, usize);

    impl Write for FragileSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.send(()).unwrap();
            self.2 = self.2.wrapping_sub(1);
            assert_ne!(self.2, 0, "no disk");
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for FragileSink {
        fn drop(&mut self) {
            panic!("no disk to close");
        }
    }

    #[test]
    fn a_writer_that_panics_loses_the_lines_of_that_write_alone() {
        for call in [1, 2, 100] {
            let written = Arc::new(Mutex::new(Vec::new()));
            let (begins, begun) = channel();
            let writer = FragileSink(Arc::clone(&written), begins, call);
            let writer = LineWriter::start(writer, 8).unwrap();
            for line in 1..=120 {
                writer.push(format!("{line}\n").as_bytes());
                begun.recv().unwrap();
            }
            let lost = Arc::clone(&writer.lost);
            drop(writer);
            // The thread drops the sender at its end.
            while begun.recv().is_ok() {}
            assert_eq!(lost.load(Relaxed), 1, "{call}");
            let lines: String = (1..=120)
                .filter(|line| *line != call)
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(*written.lock().unwrap(), lines.as_bytes(), "{call}");
        }
    }
}
