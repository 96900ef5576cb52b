//! The registry of the process, and the collector of what only the process knows.

use std::fmt;
use std::sync::Arc;

use lb_proxy::Handle;
use lb_proxy::openmetrics::ServerCollector;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::proc_files::ProcessStatus;
use super::reloads::LoadCounters;
use crate::process::logs::logging::Logging;

/// All metrics of this process: those of the server of `handle`, of the configuration, of the logs and of the kernel.
pub(crate) fn registry(handle: Handle, reloads: Arc<LoadCounters>, logging: Logging) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector::new(handle)));
    registry.register_collector(Box::new(ProcessCollector { reloads, logging }));
    registry
}

/// Collects what only the process knows.
#[derive(Debug)]
struct ProcessCollector {
    reloads: Arc<LoadCounters>,
    logging: Logging,
}

const NONE: [(&str, &str); 0] = [];

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = MetricWriter(encoder);
        to.gauges(
            "nginx_like_build_info",
            "1, with the version of the program.",
            None,
            [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        self.write_reloads(&mut to)?;
        let missing = self.logging.missing();
        to.counters(
            "nginx_like_log_lines_dropped",
            "Lines that did not reach a log, because its reader or disk is too slow or it cannot be written.",
            None,
            missing.iter().map(|(log, n)| ([("log", &**log)], *n as f64)),
        )?;
        write_process(&mut to, &ProcessStatus::read())
    }
}

impl ProcessCollector {
    fn write_reloads(&self, to: &mut MetricWriter<'_>) -> fmt::Result {
        let loads = self.reloads.read();
        to.counters(
            "nginx_like_config_reloads",
            "Reloads of the configuration, by result. Those with an error in the configuration count as failed.",
            None,
            [
                ([("result", "applied")], loads.applied as f64),
                ([("result", "failed")], loads.failed as f64),
            ],
        )?;
        to.gauges(
            "nginx_like_config_generation",
            "The number of the running configuration: 1 at the start, one more with each reload that was applied.",
            None,
            [(NONE, 1.0 + loads.applied as f64)],
        )?;
        to.gauges(
            "nginx_like_config_last_reload_successful",
            "Whether the last reload was applied, or there was none.",
            None,
            [(NONE, f64::from(u8::from(loads.is_last_applied)))],
        )?;
        to.gauges(
            "nginx_like_config_last_reload_success_timestamp",
            "When the running configuration was applied, since 1970.",
            Some(&Unit::Seconds),
            [(NONE, loads.applied_at)],
        )
    }
}

/// The names are those that Prometheus' own client libraries use.
fn write_process(to: &mut MetricWriter<'_>, status: &ProcessStatus) -> fmt::Result {
    let one = |value: Option<f64>| value.map(|value| (NONE, value));
    let count = |value: Option<u64>| value.map(|value| (NONE, value as f64));
    to.counters(
        "process_cpu",
        "Processor time of all threads.",
        Some(&Unit::Seconds),
        one(status.cpu_seconds),
    )?;
    to.gauges(
        "process_open_fds",
        "Open descriptors.",
        None,
        count(status.open_descriptors),
    )?;
    to.gauges(
        "process_max_fds",
        "The limit of open descriptors.",
        None,
        count(status.max_descriptors),
    )?;
    to.gauges(
        "process_resident_memory",
        "Resident memory.",
        Some(&Unit::Bytes),
        count(status.resident_bytes),
    )?;
    to.gauges(
        "process_virtual_memory",
        "Virtual memory.",
        Some(&Unit::Bytes),
        count(status.virtual_bytes),
    )?;
    to.gauges(
        "process_start_time",
        "When the process started, since 1970.",
        Some(&Unit::Seconds),
        one(status.start_time),
    )?;
    to.gauges("process_threads", "Threads.", None, count(status.threads))
}

/// Writes families. One without a sample is left out.
struct MetricWriter<'a>(DescriptorEncoder<'a>);

impl MetricWriter<'_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        self.samples(name, help, unit, MetricType::Counter, samples)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        self.samples(name, help, unit, MetricType::Gauge, samples)
    }

    fn samples<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metrics = self.0.encode_descriptor(name, help, unit, kind)?;
        samples.try_for_each(|(labels, value)| {
            let mut metric = metrics.encode_family(&labels)?;
            match kind {
                MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
                _ => metric.encode_gauge(&value),
            }
        })
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
