//! The serving process: logs, signals, metrics.

use std::error::Error;

use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::controller::Controller;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

/// Takes as many descriptors as the process may have: each session has two, and each port one a worker.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "Limit of descriptors not raised");
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let cluster = config.cluster();
    let admin = config
        .admin
        .map(|addr| AdminListener::open(&AdminSettings::tcp(addr)));
    let admin = admin.transpose()?;
    let controller = Controller::start(config, cluster).await?;
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
