//! Backends that return what they get, and the threads in which servers and clients of a machine run.

use std::future::Future;
use std::thread::JoinHandle;

use test_support::namespace::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A thread on a machine that runs tasks until it is stopped.
#[derive(Debug)]
pub(crate) struct Background<T> {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Background<T> {
    /// Runs `main`, whose argument completes when the thread is to stop.
    pub(crate) fn start<F: Future<Output = T>>(
        machine: &Namespace,
        main: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = machine.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(main(stopped))
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> T {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

/// A server that returns what it gets. It runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Echo {
    _thread: Background<()>,
}

impl Echo {
    pub(crate) fn start(machine: &Namespace, port: u16) -> Self {
        let address = ("0.0.0.0", port);
        let listener = machine.inside(|| std::net::TcpListener::bind(address).unwrap());
        listener.set_nonblocking(true).unwrap();
        let thread = Background::start(machine, move |stopped| async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::select! {
                () = serve(listener) => (),
                _ = stopped => (),
            }
        });
        Self { _thread: thread }
    }
}

async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        });
    }
}
