//! The serving process: logs, signals, metrics, readiness.

use std::error::Error;
use std::path::PathBuf;

use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use lb_proxy::readiness_report::{ReadinessReporter, SharedReadyFile, notify_service_manager};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clusters::ClusterPlace;
use crate::config::Config;
use crate::controller::Controller;
use crate::metrics::registry;

/// Serves until SIGTERM or SIGINT. SIGHUP reads `file` again.
pub(crate) fn run(config: Config, file: PathBuf) -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config, file))
}

/// Takes as many descriptors as the process may have: each session has two, and each port one a worker.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "Limit of descriptors not raised");
    }
}

async fn serve(config: Config, file: PathBuf) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Before anything can go wrong: the file of a process that was killed may say that it is ready.
    let ready_file = SharedReadyFile::create(config.ready_file.as_ref());
    let ready_file = ready_file.map_err(|error| {
        let path = config.ready_file.as_ref().map(|file| file.path.display());
        let path = path.map(|path| path.to_string()).unwrap_or_default();
        format!("cannot write the readiness file {path}: {error}")
    })?;
    let admin = config
        .admin
        .map(|addr| AdminListener::open(&AdminSettings::tcp(addr)));
    let admin = admin.transpose()?;
    let controller = Controller::start(config, Box::new(ClusterPlace::cluster)).await?;
    let handle = controller.handle().clone();
    let settings = controller.settings();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match Config::read(&file) {
                // The controller is gone at the end of the process.
                Ok(config) => drop(settings.send(config).await),
                Err(error) => error!(error = %chain(&error), "Configuration not read again"),
            }
        }
    });
    let admin = admin.map(|listener| {
        Admin::builder(handle.clone())
            .program("kube_lb", env!("CARGO_PKG_VERSION"))
            .registry(registry(handle.clone(), controller.metrics()))
            .build()
            .serve(listener)
    });
    let reporter = ReadinessReporter::new(handle, ready_file.clone(), false);
    let reporting = tokio::spawn(reporter.run());
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("Shutting down");
        // Before the first socket closes. Without sessions the process may end before the reporter runs again.
        ready_file.leave();
        if let Err(error) = notify_service_manager("STOPPING=1") {
            warn!(%error, "systemd not told the shutdown");
        }
        stopped.cancel();
    });
    let report = controller.run(stop).await;
    reporting.abort();
    if let Some(admin) = admin {
        admin.stop().await;
    }
    if let Some(report) = report {
        info!(
            completed = report.completed,
            aborted = report.aborted,
            "Shut down"
        );
    }
    Ok(())
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
