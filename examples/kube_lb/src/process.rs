//! The serving process: logs, signals, metrics.

use std::error::Error;
use std::path::PathBuf;

use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clusters::ClusterPlace;
use crate::config::Config;
use crate::controller::Controller;

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
    let admin = config
        .admin
        .map(|addr| AdminListener::open(&AdminSettings::tcp(addr)));
    let admin = admin.transpose()?;
    let controller = Controller::start(config, Box::new(ClusterPlace::cluster)).await?;
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
        Admin::builder(controller.handle().clone())
            .program("kube_lb", env!("CARGO_PKG_VERSION"))
            .build()
            .serve(listener)
    });
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("Shutting down");
        stopped.cancel();
    });
    let report = controller.run(stop).await;
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
