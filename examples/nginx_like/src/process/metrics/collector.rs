//! The registry of the process, and the collector of what only the process knows.

use std::fmt;
use std::sync::Arc;

use lb_proxy::Handle;
use lb_proxy::openmetrics::{Family, FamilyWriter, ProcessCollector, ServerCollector};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::reloads::LoadCounters;
use crate::process::logs::logging::Logging;

/// All metrics of this process: those of the server of `handle`, of the configuration, of the logs and of the kernel.
pub(crate) fn registry(handle: Handle, reloads: Arc<LoadCounters>, logging: Logging) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(handle)));
    registry.register_collector(Box::new(ProgramCollector { reloads, logging }));
    registry.register_collector(Box::new(ProcessCollector::new()));
    registry
}

/// Collects what only the program knows.
#[derive(Debug)]
struct ProgramCollector {
    reloads: Arc<LoadCounters>,
    logging: Logging,
}

const NONE: [(&str, &str); 0] = [];

impl Collector for ProgramCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = FamilyWriter::new(encoder);
        to.gauges(
            &Family::new(
                "nginx_like_build_info",
                "1, with the version of the program.",
            ),
            [([("version", env!("CARGO_PKG_VERSION"))], 1)],
        )?;
        self.write_reloads(&mut to)?;
        let missing = self.logging.missing();
        to.counters(
            &Family::new(
                "nginx_like_log_lines_dropped",
                "Lines that did not reach a log, because its reader or disk is too slow or it cannot be written.",
            ),
            missing.iter().map(|(log, n)| ([("log", &**log)], *n)),
        )
    }
}

impl ProgramCollector {
    fn write_reloads(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let loads = self.reloads.read();
        to.counters(
            &Family::new(
                "nginx_like_config_reloads",
                "Reloads of the configuration, by result. Those with an error in the configuration count as failed.",
            ),
            [
                ([("result", "applied")], loads.applied),
                ([("result", "failed")], loads.failed),
            ],
        )?;
        to.gauges(
            &Family::new(
                "nginx_like_config_generation",
                "The number of the running configuration: 1 at the start, one more with each reload that was applied.",
            ),
            [(NONE, 1 + loads.applied)],
        )?;
        to.gauges(
            &Family::new(
                "nginx_like_config_last_reload_successful",
                "Whether the last reload was applied, or there was none.",
            ),
            [(NONE, u64::from(loads.is_last_applied))],
        )?;
        to.gauges(
            &Family::in_seconds(
                "nginx_like_config_last_reload_success_timestamp",
                "When the running configuration was applied, since 1970.",
            ),
            [(NONE, loads.applied_at)],
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use lb_core::Snapshot;
    use lb_discovery::Static;
    use lb_proxy::openmetrics::{Format, encode};
    use lb_proxy::{Proxy, Upstream};

    use super::*;
    use crate::process::logs::open_logs::Logs;

    /// The names and types of the table in the documents.
    fn documented() -> BTreeSet<(&'static str, &'static str)> {
        let document = include_str!("../../../docs/metrics.md");
        let rows = document.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.map(|row| {
            let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
            (cells.nth(1).unwrap(), cells.next().unwrap())
        });
        cells.collect()
    }

    #[tokio::test]
    async fn a_scrape_has_every_documented_metric_and_those_of_the_server() {
        let upstream = Upstream::builder("none").discovery(Static::new(Snapshot::default()));
        let upstream = upstream.build().unwrap();
        let addr = (Ipv4Addr::LOCALHOST, 0).into();
        let proxy = Proxy::builder().listen(addr, &upstream).build().unwrap();
        let server = proxy.bind().await.unwrap();
        let logging = Logging::install(Logs::stderr().unwrap());
        let reloads = Arc::new(LoadCounters::started());
        reloads.note(true);
        reloads.note(false);
        let registry = registry(server.handle(), reloads, logging);

        let text = encode(&registry, Format::Prometheus);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let found = types.filter_map(|line| line.split_once(' '));
        let found: BTreeSet<_> = found.filter(|(name, _)| !name.starts_with("lb_")).collect();
        assert_eq!(found, documented());
        for line in [
            "nginx_like_config_reloads_total{result=\"applied\"} 1",
            "nginx_like_config_reloads_total{result=\"failed\"} 1",
            "nginx_like_config_generation 2",
            "nginx_like_config_last_reload_successful 0",
            "nginx_like_log_lines_dropped_total{log=\"stderr\"} 0",
            "lb_server_sessions_active 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
