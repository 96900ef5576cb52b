//! The kernel's figures of the process, under the names that Prometheus' own client libraries use.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::proc_files::ProcessStatus;
use super::writer::{Family, FamilyWriter};

const NONE: [(&str, &str); 0] = [];

/// Collects what the kernel knows of this process, under the usual names.
///
/// `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`, `process_resident_memory_bytes`,
/// `process_virtual_memory_bytes`, `process_start_time_seconds` and `process_threads`.
///
/// A scrape reads `/proc`, which never waits for a disk. O(1); before Linux 6.2 O(n) in the open descriptors.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a collector collects once it is registered"]
#[non_exhaustive]
pub struct ProcessCollector;

impl ProcessCollector {
    /// A collector of this process.
    pub const fn new() -> Self {
        Self
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = FamilyWriter::new(encoder);
        let status = ProcessStatus::read();
        to.counters(
            &Family::in_seconds("process_cpu", "Processor time of all threads."),
            one(status.cpu_seconds),
        )?;
        to.gauges(
            &Family::new("process_open_fds", "Open descriptors."),
            one(status.open_descriptors),
        )?;
        to.gauges(
            &Family::new("process_max_fds", "The limit of open descriptors."),
            one(status.max_descriptors),
        )?;
        to.gauges(
            &Family::in_bytes("process_resident_memory", "Resident memory."),
            one(status.resident_bytes),
        )?;
        to.gauges(
            &Family::in_bytes("process_virtual_memory", "Virtual memory."),
            one(status.virtual_bytes),
        )?;
        to.gauges(
            &Family::in_seconds(
                "process_start_time",
                "When the process started, since 1970.",
            ),
            one(status.start_time),
        )?;
        to.gauges(
            &Family::new("process_threads", "Threads."),
            one(status.threads),
        )
    }
}

/// The sample of a figure that the kernel knows.
fn one<V>(value: Option<V>) -> Option<([(&'static str, &'static str); 0], V)> {
    value.map(|value| (NONE, value))
}
