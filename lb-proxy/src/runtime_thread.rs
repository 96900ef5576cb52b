//! A thread with a runtime of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

/// What the thread runs. When it ends, the thread ends, and the tasks of its runtime with it.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread with a runtime, before it [runs](Self::run).
#[derive(Debug)]
pub(crate) struct RuntimeThread {
    runtime: Runtime,
    hand_over: mpsc::Sender<(Runtime, Work)>,
}

impl RuntimeThread {
    /// Starts the thread and builds its runtime, which is all that can fail.
    pub(crate) fn start(name: String) -> io::Result<Self> {
        // The thread comes first: if it cannot be started, no runtime must be dropped here, because tokio panics when a
        // runtime is dropped inside of another.
        let (hand_over, handed_over) = mpsc::channel::<(Runtime, Work)>();
        thread::Builder::new().name(name).spawn(move || {
            if let Ok((runtime, work)) = handed_over.recv() {
                runtime.block_on(work);
            }
        })?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, hand_over })
    }

    /// The runtime, for tasks.
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    /// Lets the thread run the runtime until `work` ends.
    pub(crate) fn run(self, work: impl Future<Output = ()> + Send + 'static) {
        let handed_over = self.hand_over.send((self.runtime, Box::pin(work)));
        handed_over.expect("the thread receives before it ends");
    }
}
