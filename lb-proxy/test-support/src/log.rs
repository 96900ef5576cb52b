//! The log of a test's thread.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads the log messages of this thread. Each test has a thread of its own.
#[derive(Debug)]
pub struct Capture(());

impl Capture {
    /// Starts to capture; drops what this thread logged before.
    pub fn install() -> Self {
        static INSTALLED: Once = Once::new();
        // One subscriber for all tests of the process: tracing caches for each call site which subscriber wants it.
        INSTALLED.call_once(|| {
            let log = tracing_subscriber::fmt().with_ansi(false);
            log.with_writer(ThreadWriter).init();
        });
        let capture = Self(());
        capture.take();
        capture
    }

    /// The lines that were logged since the last call.
    pub fn take(&self) -> Vec<String> {
        let written = WRITTEN.take();
        let text = String::from_utf8(written).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

struct ThreadWriter;

impl Write for ThreadWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ThreadWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
