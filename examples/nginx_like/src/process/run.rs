//! Serving until a signal comes.

use std::future::Future;
use std::sync::{Arc, PoisonError};

use lb_proxy::{Handle, Proxy, Server};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::{select, spawn};
use tracing::{info, warn};

use super::control::{Control, ControlContext, Task};
use super::files::access::{Files, Place};
use super::logs::logging::{Logging, Logs};
use super::reload::{PidSlot, Reloader};
use super::user::{Identity, limit_files};
use crate::build::inherited::Inherited;
use crate::build::kept::Kept;
use crate::build::loops;
use crate::build::proxy;
use crate::config::main::Config;
use crate::console::say;
use crate::error::StartError;

/// Serves as the configuration says that `place` names, now and whenever it is read again.
pub(crate) fn run(
    place: Place,
    load: impl FnOnce() -> Result<Config, StartError>,
) -> Result<(), StartError> {
    let config = load()?;
    let identity = Identity::of(config.user.as_ref())?;
    let mut kept = Kept::default();
    let proxy = assemble(&config, identity.as_ref(), &mut kept)?;
    let files = Arc::new(Files::for_identity(place, identity.as_ref())?);
    let logging = Logs::open(&config, &files)?.install();
    let _flush = FlushGuard(&logging);
    loops::warn_of(&config);
    if config.daemon == Some(true) {
        say("[warn] \"daemon on\" is ignored: nginx_like stays in the foreground");
    }
    limit_files(config.worker_rlimit_nofile);
    // Before the sockets are opened: the kernel lets sockets share an address if one user has opened them, and those that
    // a reload adds are this user's.
    if let Some(identity) = &identity {
        identity.assume()?;
    }
    let pid_file = PidSlot::default();
    let done = block_on(async {
        let signals = Signals::listen()?;
        let server = proxy.bind().await?;
        let path = config.pid.as_deref();
        let mut opened = path.map(|path| files.open_pid(path)).transpose()?;
        if let Some(file) = &mut opened {
            file.write().map_err(StartError::open(file.path()))?;
        }
        *pid_file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        let context = ControlContext {
            reloader: Reloader::new(config, kept, Arc::clone(&pid_file)),
            files: Arc::clone(&files),
        };
        serve(server, signals, &logging, Some(context)).await
    });
    files.end();
    // The control thread may hang on a file and hold the slot for ever.
    let pid_file = pid_file
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    drop(pid_file);
    done
}

/// The proxy that `config` describes, made with the rights of the user that the process becomes: a file that this user
/// cannot read is an error now and not after the start.
pub(crate) fn assemble(
    config: &Config,
    identity: Option<&Identity>,
    kept: &mut Kept,
) -> Result<Proxy, StartError> {
    let inherited = Inherited::take();
    let Some(identity) = identity else {
        return proxy::proxy(config, kept, inherited);
    };
    let assembled = identity.run_as(|| proxy::proxy(config, kept, inherited))?;
    assembled.map_err(|source| {
        // What the two sockets or the configuration itself lack, no user has more of.
        if !source.may_be_of_rights() || identity.lesser_user().is_none() {
            return source;
        }
        // If the superuser can do it, it is a matter of the user.
        let again = proxy::proxy(config, &mut Kept::default(), Inherited::default());
        match again {
            Ok(_) => identity.denied(source),
            Err(_) => source,
        }
    })
}

/// Serves until a signal ends it.
pub(crate) async fn serve(
    server: Server,
    signals: Signals,
    logging: &Logging,
    context: Option<ControlContext>,
) -> Result<(), StartError> {
    let control = Control::new(context, server.handle(), logging.clone());
    let following = spawn(signals.follow(server.handle(), control));
    server.run(std::future::pending()).await;
    following.abort();
    Ok(())
}

/// Runs `main` on what the main thread has: everything with one worker, all but the sessions with several. What blocks
/// elsewhere when it ends is left behind.
pub(crate) fn block_on(
    main: impl Future<Output = Result<(), StartError>>,
) -> Result<(), StartError> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build().map_err(StartError::Runtime)?;
    let done = runtime.block_on(main);
    runtime.shutdown_background();
    done
}

/// Brings the last messages to the logs when it is dropped, however the process ends.
#[derive(Debug)]
pub(crate) struct FlushGuard<'a>(pub(crate) &'a Logging);

impl Drop for FlushGuard<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
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

    /// Acts on signals until it is dropped. Nothing here waits for a file.
    async fn follow(mut self, handle: Handle, control: Control) {
        loop {
            select! {
                _ = self.hangup.recv() => control.request(Task::Reload),
                _ = self.interrupt.recv() => {
                    info!("SIGINT: stopping");
                    handle.abort();
                }
                _ = self.quit.recv() => {
                    info!("SIGQUIT: draining");
                    handle.shutdown();
                }
                _ = self.reopen.recv() => control.request(Task::Reopen),
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
