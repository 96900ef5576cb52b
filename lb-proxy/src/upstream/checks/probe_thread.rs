//! The thread that all probes of a server run on.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::runtime_thread::RuntimeThread;

/// The name of the thread.
const NAME: &str = "lb-probes";

/// Where the probes of a server run: on a thread that exists while there is a check. A clone means the same thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeRuntime {
    pub(super) thread: Arc<Mutex<Weak<ProbeThread>>>,
    /// On the caller's runtime instead: tests pause its time.
    #[cfg(test)]
    pub(super) is_of_caller: bool,
}

/// The thread. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct ProbeThread {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

/// A task on the thread. Dropping it ends the task, and the thread with its last task.
#[derive(Debug)]
pub(super) struct ProbeTask {
    task: JoinHandle<()>,
    _thread: Option<Arc<ProbeThread>>,
}

impl Drop for ProbeTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ProbeRuntime {
    /// Runs `task`. If the system refuses a thread, it runs on the caller's runtime.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> ProbeTask {
        let thread = self.thread();
        let task = match &thread {
            Some(thread) => thread.runtime.spawn(task),
            None => tokio::spawn(task),
        };
        ProbeTask {
            task,
            _thread: thread,
        }
    }

    fn thread(&self) -> Option<Arc<ProbeThread>> {
        #[cfg(test)]
        if self.is_of_caller {
            return None;
        }
        // No code that can panic runs under the lock.
        let mut known = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = known.upgrade() {
            return Some(thread);
        }
        match RuntimeThread::start(NAME.to_owned()) {
            Ok(thread) => {
                let (end, ended) = oneshot::channel();
                let runtime = thread.handle();
                // The sender sends nothing: dropping it completes the receiver.
                thread.run(async { drop(ended.await) });
                let thread = Arc::new(ProbeThread { runtime, _end: end });
                *known = Arc::downgrade(&thread);
                Some(thread)
            }
            Err(error) => {
                warn!(%error, "No thread for probes: they share a thread with sessions");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use test_support::deadline::within;
    use tokio::sync::mpsc;

    use super::*;

    /// Sends the thread that it runs on, and stays.
    fn task(sent: &mpsc::UnboundedSender<ThreadId>) -> impl Future<Output = ()> + Send + 'static {
        let sent = sent.clone();
        async move {
            sent.send(thread::current().id()).unwrap();
            std::future::pending::<()>().await;
        }
    }

    #[tokio::test]
    async fn tasks_share_a_thread_that_ends_with_the_last_one() {
        let runtime = ProbeRuntime::default();
        let (sent, mut received) = mpsc::unbounded_channel();
        let mut next = async || within("a thread", received.recv()).await;
        let one = runtime.spawn(task(&sent));
        let first = next().await;
        assert!(first.is_some_and(|first| first != thread::current().id()));
        let other = runtime.clone().spawn(task(&sent));
        assert_eq!(next().await, first);
        drop(one);
        let third = runtime.spawn(task(&sent));
        assert_eq!(next().await, first);

        drop((other, third));
        let last = runtime.spawn(task(&sent));
        assert_ne!(next().await, first);
        drop((last, sent));
        // The tasks are gone with the threads, so that no sender is left.
        assert_eq!(next().await, None);
    }
}
