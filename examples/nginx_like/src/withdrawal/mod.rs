//! The wait of a graceful shutdown while it still accepts, for a command that ends when no new connections are sent here.

mod command;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use tracing::{error, info};

use crate::config::shutdown::ShutdownSettings;

/// What a shutdown does before it stops accepting, but for the time that it waits in any case.
#[derive(Clone, Debug)]
pub(crate) struct Withdrawal {
    settings: Arc<ShutdownSettings>,
    another_serves: Arc<AtomicBool>,
}

impl Withdrawal {
    /// `None` if the shutdown waits for nothing. Nothing is withdrawn if the process of another binary serves on
    /// (`another_serves`).
    pub(crate) fn new(
        settings: &ShutdownSettings,
        another_serves: &Arc<AtomicBool>,
    ) -> Option<Self> {
        let waits = !settings.withdraw_delay.is_zero() || settings.withdraw_command.is_some();
        waits.then(|| Self {
            settings: Arc::new(settings.clone()),
            another_serves: Arc::clone(another_serves),
        })
    }

    /// Completes when the command has ended, whether it succeeded or not. Dropping the future kills it.
    pub(crate) async fn run(self) {
        if self.another_serves.load(Relaxed) {
            return;
        }
        let settings = &self.settings;
        let lb_withdraw_delay = settings.withdraw_delay;
        let Some(command) = &settings.withdraw_command else {
            // lb-proxy's own line does not have the name of the directive.
            info!(?lb_withdraw_delay, "New connections still accepted");
            return;
        };
        let (program, timeout) = (command.program.display(), command.timeout);
        info!(?lb_withdraw_delay, %program, ?timeout, "New connections still accepted until the withdraw command ends");
        let begin = Instant::now();
        let ended = command::run(command).await;
        let elapsed = begin.elapsed();
        match ended {
            Ok(()) => info!(%program, ?elapsed, "Withdraw command ended"),
            Err(error) => {
                error!(%program, ?elapsed, %error, "Withdraw command failed, the shutdown goes on");
            }
        }
    }
}
