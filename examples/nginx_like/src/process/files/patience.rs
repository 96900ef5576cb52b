//! Work on files that may hang, as on a mount that does not answer: its thread is left behind after a time.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tracing::warn;

/// How long one piece of work may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many threads may be left behind at a time. The kernel cannot end them.
const MOST: usize = 4;

/// Runs work on files for one thread, the control thread, and waits for it no longer than a limit.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Each thread that works has one of these.
    threads: Arc<()>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit: PATIENCE,
            threads: Arc::default(),
        }
    }
}

impl Patience {
    /// Runs `work` in a thread of its own. It inherits the credentials of the calling thread, and its runtime.
    ///
    /// A panic of `work` goes on in the calling thread.
    ///
    /// # Errors
    ///
    /// `work` takes longer than the limit. It is left behind, and what it returns later is dropped. Or as many threads as
    /// may be left behind are, or the kernel starts no more threads.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        if self.left_behind() >= MOST {
            let what = format!("{MOST} threads hang on files, and no more are started");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        let (done, outcome) = sync_channel(1);
        let counted = Arc::clone(&self.threads);
        let runtime = runtime::Handle::try_current();
        let thread = thread::Builder::new().name("file".to_owned());
        let thread = thread.spawn(move || {
            let _entered = runtime.as_ref().map(runtime::Handle::enter);
            let result = work();
            drop(counted);
            // A caller that waits no longer has closed the channel.
            let _ = done.send(result);
        })?;
        match outcome.recv_timeout(self.limit) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                let threads = self.left_behind();
                warn!(threads, most = MOST, "Hung file thread left behind");
                let what = format!("no end after {:?}", self.limit);
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
            Err(RecvTimeoutError::Disconnected) => rethrow(thread),
        }
    }

    /// The one caller waits for none of them now.
    fn left_behind(&self) -> usize {
        Arc::strong_count(&self.threads) - 1
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
    fn threads_that_hang_are_left_behind_up_to_a_limit_until_they_end() {
        let mut patience = Patience {
            limit: Duration::from_millis(10),
            ..Patience::default()
        };
        let mut hanging = Vec::new();
        for _ in 0..MOST {
            let (end, ended) = channel::<()>();
            let error = patience.run(move || ended.recv().is_err()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            hanging.push(end);
        }
        patience.limit = LONG;
        let error = patience.run(|| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(hanging.pop());
        let begin = Instant::now();
        while patience.left_behind() == MOST && begin.elapsed() < LONG {
            thread::yield_now();
        }
        assert_eq!(patience.run(|| 7).unwrap(), 7);
        assert_eq!(patience.left_behind(), MOST - 1);
    }

    #[test]
    fn a_panic_goes_on_in_the_caller() {
        let patience = Patience::default();
        let run = || patience.run(|| assert_eq!(1, 2, "on purpose"));
        catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(patience.run(|| 7).unwrap(), 7);
    }
}
