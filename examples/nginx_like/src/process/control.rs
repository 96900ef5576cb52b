//! The control thread, which runs tasks that may block on files. The threads that carry traffic do not wait for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lb_proxy::Handle;
use tokio::runtime;
use tracing::{error, warn};

use super::files::access::FileAccess;
use super::files::file_threads::FileThreads;
use super::logs::logging::Logging;
use super::reload::Reloader;
use super::state_file::StateWrites;
use super::task::Task;
use super::upgrade::upgrader::{UpgradeContext, Upgrader};

/// A running task that takes longer is logged when another task is requested.
const SLOW: Duration = Duration::from_secs(1);

/// The configuration and files of the control thread. The demonstration has none.
#[derive(Debug)]
pub(crate) struct ControlContext {
    pub(crate) files: Arc<FileAccess>,
    pub(crate) reloader: Reloader,
    pub(crate) upgrader: Upgrader,
    pub(crate) state: StateWrites,
}

/// Sends tasks to the control thread.
///
/// The thread ends when it has no task, because an idle thread slows the relay (see the queue of the logs). After the drop
/// the thread finishes its current task and ends.
///
/// A read of a mount that hangs cannot be cancelled. The task then fails after a time, and abandons the thread of the
/// read, which ends with the process: see [`FileThreads`].
#[derive(Debug)]
pub(crate) struct Control {
    tasks: Arc<Mutex<Tasks<Worker>>>,
    runtime: runtime::Handle,
}

#[derive(Debug)]
struct Tasks<W> {
    /// Each task at most once: repeated signals during a task count as one.
    waiting: VecDeque<Task>,
    running: Option<(Task, Instant)>,
    /// `None` while the thread runs tasks with it.
    worker: Option<W>,
    is_closed: bool,
}

impl Control {
    /// Controls the server of `handle`. The thread inherits the credentials of the one that requests a task.
    ///
    /// # Panics
    ///
    /// Outside of the server's runtime.
    pub(crate) fn new(context: Option<ControlContext>, handle: Handle, logging: Logging) -> Self {
        let worker = Worker {
            context,
            handle,
            logging,
            file_threads: FileThreads::default(),
        };
        Self {
            tasks: Arc::new(Mutex::new(Tasks::new(worker))),
            runtime: runtime::Handle::current(),
        }
    }

    /// Requests `task` without waiting for it.
    pub(crate) fn request(&self, task: Task) {
        let mut tasks = lock(&self.tasks);
        if let Some((running, since)) = tasks.running
            && since.elapsed() > SLOW
        {
            let since = since.elapsed();
            warn!(?running, ?since, waiting = ?task, "Signal queued behind a running task");
        }
        if !tasks.waiting.contains(&task) {
            tasks.waiting.push_back(task);
        }
        if tasks.worker.is_none() {
            return;
        }
        // The thread takes the worker once this lock is released.
        let (shared, runtime) = (Arc::clone(&self.tasks), self.runtime.clone());
        let run = move |worker: &mut Worker, task| runtime.block_on(worker.run(task));
        let thread = thread::Builder::new().name("control".to_owned());
        if let Err(error) = thread.spawn(move || work(&shared, run)) {
            tasks.waiting.retain(|waiting| *waiting != task);
            drop(tasks);
            error!(?task, %error, "Signal ignored: no thread can be started");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        lock(&self.tasks).is_closed = true;
    }
}

impl<W> Tasks<W> {
    const fn new(worker: W) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: None,
            worker: Some(worker),
            is_closed: false,
        }
    }

    /// The next task, or `None` if there is none.
    fn next(&mut self) -> Option<Task> {
        self.running = None;
        if self.is_closed {
            return None;
        }
        let task = self.waiting.pop_front()?;
        self.running = Some((task, Instant::now()));
        Some(task)
    }
}

/// No code that can panic runs under the lock.
fn lock<W>(tasks: &Mutex<Tasks<W>>) -> MutexGuard<'_, Tasks<W>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs tasks until there are none.
///
/// A panic ends the task, not the thread. A task changes state only after its last fallible step.
fn work<W>(tasks: &Mutex<Tasks<W>>, mut run: impl FnMut(&mut W, Task)) {
    let Some(mut worker) = lock(tasks).worker.take() else {
        // Another thread already runs the tasks.
        return;
    };
    loop {
        let mut now = lock(tasks);
        let Some(task) = now.next() else {
            now.worker = Some(worker);
            return;
        };
        drop(now);
        if catch_unwind(AssertUnwindSafe(|| run(&mut worker, task))).is_err() {
            error!(?task, "Control task panicked");
        }
    }
}

/// The state of the thread.
#[derive(Debug)]
struct Worker {
    context: Option<ControlContext>,
    handle: Handle,
    logging: Logging,
    file_threads: FileThreads,
}

impl Worker {
    /// Blocks its thread.
    async fn run(&mut self, task: Task) {
        let Some(ControlContext {
            files,
            reloader,
            upgrader,
            state,
        }) = &mut self.context
        else {
            // The demonstration has no configuration and no log files.
            warn!(?task, "Signal ignored: no configuration to read");
            return;
        };
        let (logging, threads, handle) = (&self.logging, &self.file_threads, &self.handle);
        let mut context = UpgradeContext {
            files,
            threads,
            reloader,
            handle,
        };
        match task {
            Task::Reload if upgrader.resume(handle) => {}
            Task::Reload => {
                handle.resume();
                reloader.reload(files, threads, handle, logging).await;
                drop(state.request());
            }
            Task::Reopen => logging.reopen(files, threads),
            Task::Upgrade => {
                // The new process begins with the file.
                state.write().await;
                upgrader.start(&context);
            }
            Task::Pause => upgrader.pause(handle),
            Task::SuccessorReady => upgrader.successor_ready(&mut context),
            Task::SuccessorLeaves => upgrader.successor_leaves(&mut context),
            Task::SuccessorEnded => upgrader.successor_ended(&mut context),
            Task::PredecessorCommitted => upgrader.predecessor_committed(&mut context),
            Task::PredecessorEnded => upgrader.predecessor_ended(&mut context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_panics_ends_alone_and_the_next_thread_goes_on_with_its_state() {
        let tasks = Mutex::new(Tasks::new(Vec::new()));
        let request = |task| lock(&tasks).waiting.push_back(task);
        let run = |ran: &mut Vec<Task>, task| {
            ran.push(task);
            assert_ne!(task, Task::Reload, "on purpose");
        };
        request(Task::Reload);
        request(Task::Reopen);
        work(&tasks, run);
        request(Task::Reopen);
        work(&tasks, run);
        let ran = lock(&tasks).worker.take().unwrap();
        assert_eq!(ran, [Task::Reload, Task::Reopen, Task::Reopen]);
    }

    #[test]
    fn no_task_begins_after_the_end() {
        let tasks = Mutex::new(Tasks::new(0));
        lock(&tasks).waiting.push_back(Task::Reload);
        lock(&tasks).is_closed = true;
        work(&tasks, |ran, _| *ran += 1);
        assert_eq!(lock(&tasks).worker, Some(0));
    }

    #[test]
    fn a_second_thread_leaves_the_tasks_to_the_first() {
        let tasks = Mutex::new(Tasks::new(0));
        lock(&tasks).waiting.push_back(Task::Reload);
        work(&tasks, |ran, _| {
            *ran += 1;
            lock(&tasks).waiting.push_back(Task::Reopen);
            work(&tasks, |_, _| panic!("two threads run tasks"));
            lock(&tasks).is_closed = true;
        });
        assert_eq!(lock(&tasks).worker, Some(1));
    }
}
