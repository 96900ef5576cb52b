//! A log that a test reads.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing_subscriber::fmt::MakeWriter;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what this thread logs from now on. Each test has a thread of its own.
#[derive(Debug)]
pub(crate) struct Capture(());

impl Capture {
    pub(crate) fn install() -> Self {
        static INSTALLED: Once = Once::new();
        // One subscriber for all tests of the process: tracing remembers by the call what a subscriber wants.
        INSTALLED.call_once(|| {
            let log = tracing_subscriber::fmt().with_ansi(false);
            log.with_writer(OfThread).init();
        });
        let capture = Self(());
        capture.take();
        capture
    }

    /// What was logged since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let written = WRITTEN.take();
        let text = String::from_utf8(written).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

struct OfThread;

impl Write for OfThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for OfThread {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
