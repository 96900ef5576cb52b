//! The control thread, which runs tasks that may block on files. The threads that carry traffic do not wait for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lb_proxy::Handle;
use tokio::runtime;
use tracing::{error, warn};

use super::files::access::FileAccess;
use super::files::file_threads::FileThreads;
use super::logs::logging::Logging;
use super::reload::Reloader;
use crate::process::error::StartError;

/// A running task that takes longer is logged when another task is requested.
const SLOW: Duration = Duration::from_secs(1);

/// The task of a signal for the control thread.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Task {
    Reload,
    Reopen,
}

/// The configuration and files of the control thread. The demonstration has none.
#[derive(Debug)]
pub(crate) struct ControlContext {
    pub(crate) files: Arc<FileAccess>,
    pub(crate) reloader: Reloader,
}

/// The way to the control thread. Dropping it ends the thread behind its present task.
///
/// A read of a mount that hangs cannot be cancelled. The task then fails after a time, and abandons the thread of the
/// read, which ends with the process: see [`FileThreads`].
#[derive(Debug)]
pub(crate) struct Control(Arc<TaskQueue>);

#[derive(Debug, Default)]
struct TaskQueue {
    tasks: Mutex<Tasks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Tasks {
    /// Each at most once: signals that come while the thread is busy are one.
    waiting: VecDeque<Task>,
    running: Option<(Task, Instant)>,
    is_closed: bool,
}

impl Control {
    /// Starts the thread. It inherits the credentials of the calling thread, which must run in the server's runtime.
    ///
    /// # Errors
    ///
    /// The kernel starts no more threads.
    pub(crate) fn start(
        context: Option<ControlContext>,
        handle: Handle,
        logging: Logging,
    ) -> Result<Self, StartError> {
        let queue = Arc::<TaskQueue>::default();
        let taken = Arc::clone(&queue);
        let thread = thread::Builder::new().name("control".to_owned());
        let runtime = runtime::Handle::current();
        let mut worker = Worker {
            context,
            handle,
            logging,
            file_threads: FileThreads::default(),
        };
        let run = move |task| runtime.block_on(worker.run(task));
        let work = move || work(&taken, run);
        thread.spawn(work).map_err(StartError::Thread)?;
        Ok(Self(queue))
    }

    /// Requests `task` without waiting for it.
    pub(crate) fn request(&self, task: Task) {
        let mut tasks = self.0.lock();
        if let Some((running, since)) = tasks.running
            && since.elapsed() > SLOW
        {
            let since = since.elapsed();
            warn!(?running, ?since, waiting = ?task, "Signal queued behind a running task");
        }
        if !tasks.waiting.contains(&task) {
            tasks.waiting.push_back(task);
        }
        drop(tasks);
        self.0.changed.notify_one();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl TaskQueue {
    /// Waits for a task. `None` at the end.
    fn next(&self) -> Option<Task> {
        let mut tasks = self.lock();
        tasks.running = None;
        loop {
            if tasks.is_closed {
                return None;
            }
            if let Some(task) = tasks.waiting.pop_front() {
                tasks.running = Some((task, Instant::now()));
                return Some(task);
            }
            let woken = self.changed.wait(tasks);
            tasks = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs tasks until the queue is closed. A task that panics ends alone: its state changes only where nothing can fail.
fn work(queue: &TaskQueue, mut run: impl FnMut(Task)) {
    while let Some(task) = queue.next() {
        if catch_unwind(AssertUnwindSafe(|| run(task))).is_err() {
            error!(?task, "Control task panicked");
        }
    }
}

/// The state of the thread.
struct Worker {
    context: Option<ControlContext>,
    handle: Handle,
    logging: Logging,
    file_threads: FileThreads,
}

impl Worker {
    /// Blocks its thread.
    async fn run(&mut self, task: Task) {
        let Some(ControlContext { files, reloader }) = &mut self.context else {
            // The demonstration has no configuration and no log files.
            warn!(?task, "Signal ignored: no configuration to read");
            return;
        };
        let (logging, file_threads) = (&self.logging, &self.file_threads);
        match task {
            Task::Reload => {
                let handle = &self.handle;
                reloader.reload(files, file_threads, handle, logging).await;
            }
            Task::Reopen => logging.reopen(files, file_threads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_does_not_end_the_thread() {
        let queue = Arc::<TaskQueue>::default();
        let control = Control(Arc::clone(&queue));
        control.request(Task::Reload);
        control.request(Task::Reopen);
        let mut ran = Vec::new();
        work(&queue, |task| {
            ran.push(task);
            match task {
                Task::Reload => panic!("on purpose"),
                Task::Reopen => control.0.lock().is_closed = true,
            }
        });
        assert_eq!(ran, [Task::Reload, Task::Reopen]);
    }
}
