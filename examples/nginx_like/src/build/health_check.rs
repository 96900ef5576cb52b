//! Adds a health check to an upstream.

use lb_proxy::UpstreamBuilder;
use lb_proxy::health::{CheckSettings, HealthCheck as _, InitialState};

use crate::config::health_check::{CheckKind, HealthCheck, ServerCheck};

/// As in nginx a server is healthy until `fails` probes in a row fail, or with `mandatory` not before its first probe.
pub(super) fn add(upstream: UpstreamBuilder, config: &ServerCheck) -> UpstreamBuilder {
    let HealthCheck {
        interval,
        fast_interval,
        down_interval,
        jitter,
        fails,
        passes,
        mandatory,
        port,
        ..
    } = config.check;
    let mut settings = CheckSettings::default()
        .interval(interval)
        .interval_in_doubt(fast_interval)
        .interval_down(down_interval)
        .jitter(jitter)
        .fall(fails.get())
        .rise(passes.get())
        .port(port)
        .timeout(config.timeout)
        .header(config.header)
        .initial(match mandatory {
            true => InitialState::Down,
            false => InitialState::FullyUp,
        });
    if let Some(source) = config.source {
        settings = settings.source(source);
    }
    let kind = match &config.check.kind {
        CheckKind::Agent(check) => check.name(),
        CheckKind::Http(check) => check.name(),
        CheckKind::NodePort(check) => check.name(),
        CheckKind::SendExpect(check) => check.name(),
        CheckKind::Tcp(check) => check.name(),
        #[cfg(feature = "health-tls")]
        CheckKind::Tls(check) => check.name(),
    };
    settings = settings.name(format!("{kind}{}", config.check.distinction));
    match config.check.kind.clone() {
        CheckKind::Agent(check) => upstream.health_check(check, settings),
        CheckKind::Http(check) => upstream.health_check(check, settings),
        CheckKind::NodePort(check) => upstream.health_check(check, settings),
        CheckKind::SendExpect(check) => upstream.health_check(check, settings),
        CheckKind::Tcp(check) => upstream.health_check(check, settings),
        #[cfg(feature = "health-tls")]
        CheckKind::Tls(check) => upstream.health_check(check, settings),
    }
}
