//! Access events as lines of JSON.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use super::record::Record;
use super::writer::LineWriter;
use crate::connection::Connection;
use crate::embedder_code::named;
use crate::hooks::{Hooks, Progress, Summary};

/// Writes a line of JSON for each session: at its end, and while it lasts if the listener has a
/// [report interval](crate::Listener::report_interval).
///
/// `docs/access-events.md` of the crate documents the fields. They do not change; new ones may come. Text from outside is
/// escaped, and cut to 256 bytes each; a line lists 32 attempts at most. A line takes a few microseconds to make, on the
/// session's task.
///
/// ```
/// use std::sync::Arc;
///
/// use lb_proxy::events::JsonEvents;
///
/// # fn main() -> std::io::Result<()> {
/// let events = Arc::new(JsonEvents::to_writer(std::io::stdout(), 8192)?);
/// // Listener::hooks(events.clone()); later:
/// println!("{} events were lost", events.lost());
/// # Ok(())
/// # }
/// ```
pub struct JsonEvents {
    sink: Sink,
}

enum Sink {
    Function(Box<WriteLine>),
    Writer(LineWriter),
}

type WriteLine = dyn Fn(&[u8]) + Send + Sync;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl JsonEvents {
    /// Calls `write` with each line, its line feed included, on the session's task. `write` must not block. A panic of `write` is one of
    /// the [hooks](Hooks).
    pub fn to_function(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self {
            sink: Sink::Function(Box::new(write)),
        }
    }

    /// Writes the lines on a thread of its own. Up to `capacity` lines wait for it; those that come while the queue is full
    /// are [lost](Self::lost), so a slow disk delays no session. Dropping the value lets the thread write what waits and
    /// then end; it does not wait for that. 0 means 1, because the thread takes lines from a queue only.
    ///
    /// If `writer` panics, the lines of that write are lost, an `error` is logged, and the next ones are written again.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn to_writer(writer: impl Write + Send + 'static, capacity: usize) -> io::Result<Self> {
        let writer = LineWriter::start(writer, capacity)?;
        Ok(Self {
            sink: Sink::Writer(writer),
        })
    }

    /// How many lines were lost, because the queue of the writer was full or it failed.
    pub fn lost(&self) -> u64 {
        match &self.sink {
            Sink::Function(_) => 0,
            Sink::Writer(writer) => writer.lost(),
        }
    }

    /// Appends the line of a session that has ended to `out`.
    pub fn append_end(connection: &Connection, summary: &Summary<'_>, out: &mut Vec<u8>) {
        append(&Record::of_end(connection, summary), out);
    }

    /// Appends the line of a session that lasts to `out`.
    pub fn append_progress(connection: &Connection, progress: &Progress<'_>, out: &mut Vec<u8>) {
        append(&Record::of_progress(connection, progress), out);
    }

    fn write(&self, append: impl FnOnce(&mut Vec<u8>)) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            append(line);
            match &self.sink {
                Sink::Function(write) => named("JsonEvents::to_function", || write(line)),
                Sink::Writer(writer) => writer.push(line),
            }
        });
    }
}

impl Hooks for JsonEvents {
    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        self.write(|line| Self::append_progress(connection, progress, line));
    }

    fn close(&self, connection: &Connection, summary: &Summary<'_>) {
        self.write(|line| Self::append_end(connection, summary, line));
    }
}

fn append(record: &Record<'_>, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(&mut *out, record);
    written.expect("a vector takes all bytes, and every key is a string");
    out.push(b'\n');
}

impl fmt::Debug for JsonEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonEvents")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
