//! Threads for file operations that may hang, as on a mount that does not answer. A thread that hangs is abandoned.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tracing::warn;

/// How long one operation may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How many abandoned threads there may be at a time. The kernel cannot end them.
const MAX_ABANDONED: usize = 4;

/// Runs file operations on threads of their own, for the control thread, and waits for each up to a limit.
#[derive(Debug)]
pub(crate) struct FileThreads {
    limit: Duration,
    /// Each running thread holds a reference.
    running: Arc<()>,
}

impl Default for FileThreads {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            running: Arc::default(),
        }
    }
}

impl FileThreads {
    /// Runs `work` on a thread of its own, which inherits the credentials and the runtime of the calling thread.
    ///
    /// A panic of `work` is propagated to the caller.
    ///
    /// # Errors
    ///
    /// `work` takes longer than the limit: its thread is abandoned, and its result dropped. Or the limit of abandoned
    /// threads is reached, or the kernel starts no more threads.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        if self.abandoned() >= MAX_ABANDONED {
            let what = format!("{MAX_ABANDONED} threads hang on files, and no more are started");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        let (done, outcome) = sync_channel(1);
        let counted = Arc::clone(&self.running);
        let runtime = runtime::Handle::try_current();
        let thread = thread::Builder::new().name("file".to_owned());
        let thread = thread.spawn(move || {
            let _entered = runtime.as_ref().map(runtime::Handle::enter);
            let result = work();
            drop(counted);
            // After the limit the caller has closed the channel.
            let _ = done.send(result);
        })?;
        match outcome.recv_timeout(self.limit) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                let threads = self.abandoned();
                warn!(threads, max = MAX_ABANDONED, "Hung file thread abandoned");
                let what = format!("no end after {:?}", self.limit);
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
            Err(RecvTimeoutError::Disconnected) => rethrow(thread),
        }
    }

    /// The number of abandoned threads. The caller, which is alone, waits for none of the running threads.
    fn abandoned(&self) -> usize {
        Arc::strong_count(&self.running) - 1
    }
}

/// Panics as `thread` did.
fn rethrow<T>(thread: JoinHandle<()>) -> io::Result<T> {
    match thread.join() {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn threads_that_hang_are_abandoned_up_to_a_limit_until_they_end() {
        let mut threads = FileThreads {
            limit: Duration::from_millis(10),
            ..FileThreads::default()
        };
        let mut hanging = Vec::new();
        for _ in 0..MAX_ABANDONED {
            let (end, ended) = channel::<()>();
            let error = threads.run(move || ended.recv().is_err()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            hanging.push(end);
        }
        threads.limit = LONG;
        let error = threads.run(|| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(hanging.pop());
        let begin = Instant::now();
        while threads.abandoned() == MAX_ABANDONED && begin.elapsed() < LONG {
            thread::yield_now();
        }
        assert_eq!(threads.run(|| 7).unwrap(), 7);
        assert_eq!(threads.abandoned(), MAX_ABANDONED - 1);
    }

    #[test]
    fn a_panic_is_propagated_to_the_caller() {
        let threads = FileThreads::default();
        let run = || threads.run(|| assert_eq!(1, 2, "on purpose"));
        catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(threads.run(|| 7).unwrap(), 7);
    }
}
