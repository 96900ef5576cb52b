//! Serving until a signal comes.

use lb_proxy::{Handle, Server};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::{select, spawn};
use tracing::{info, warn};

use crate::assemble::{self, Kept};
use crate::cli::say;
use crate::config::Config;
use crate::error::StartError;
use crate::inherited::Inherited;
use crate::logs::{Logging, Logs};
use crate::process::{Identity, PidFile, limit_files};
use crate::reload::Reloader;

/// Serves as the configuration says that `load` reads, now and whenever it is to be read again.
pub(crate) fn run(
    load: impl Fn() -> Result<Config, StartError> + Send + 'static,
) -> Result<(), StartError> {
    let config = load()?;
    let identity = Identity::of(config.user.as_ref())?;
    let mut kept = Kept::default();
    let proxy = assemble::proxy(&config, &mut kept, Inherited::take())?;
    let logging = Logs::open(&config)?.install();
    if config.daemon == Some(true) {
        say("[warn] \"daemon on\" is ignored: nginx_like stays in the foreground");
    }
    limit_files(config.worker_rlimit_nofile);
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let signals = Signals::listen()?;
        let server = proxy.bind().await?;
        let pid_file = config.pid.as_deref().map(PidFile::write).transpose()?;
        if let Some(identity) = &identity {
            identity.assume()?;
        }
        let reloader = Reloader::new(load, config, kept, pid_file);
        serve(server, signals, logging, Some(reloader)).await;
        Ok(())
    });
    // A blocking thread may wait for a file system or for a name server: the process ends without it.
    runtime.shutdown_background();
    served
}

/// Serves until a signal ends it.
pub(crate) async fn serve(
    server: Server,
    signals: Signals,
    logging: Logging,
    reloader: Option<Reloader>,
) {
    let following = spawn(signals.follow(server.handle(), logging, reloader));
    server.run(std::future::pending()).await;
    following.abort();
}

/// What the main thread runs on: everything with one worker, all but the sessions with several.
pub(crate) fn runtime() -> Result<Runtime, StartError> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().map_err(StartError::Runtime)
}

/// The signals of nginx's master process.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
    terminate: Signal,
    upgrade: Signal,
    window: Signal,
}

impl Signals {
    /// Takes the signals over. From now on they no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, StartError> {
        let listen = |kind| {
            signal(kind).map_err(|source| StartError::System {
                call: "sigaction()".to_owned(),
                source,
            })
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            reopen: listen(SignalKind::user_defined1())?,
            terminate: listen(SignalKind::terminate())?,
            upgrade: listen(SignalKind::user_defined2())?,
            window: listen(SignalKind::window_change())?,
        })
    }

    async fn follow(mut self, handle: Handle, logging: Logging, mut reloader: Option<Reloader>) {
        loop {
            select! {
                _ = self.hangup.recv() => match &mut reloader {
                    Some(reloader) => reloader.reload(&handle, &logging),
                    None => warn!("SIGHUP is ignored: there is no configuration to read"),
                },
                _ = self.interrupt.recv() => {
                    info!("SIGINT: stopping");
                    handle.abort();
                }
                _ = self.quit.recv() => {
                    info!("SIGQUIT: draining");
                    handle.shutdown();
                }
                _ = self.reopen.recv() => logging.reopen(),
                _ = self.terminate.recv() => {
                    info!("SIGTERM: stopping");
                    handle.abort();
                }
                _ = self.upgrade.recv() => {
                    warn!("SIGUSR2 is ignored: another binary cannot take over");
                }
                // A terminal that changes its size is no reason to stop the workers.
                _ = self.window.recv() => {}
            }
        }
    }
}
