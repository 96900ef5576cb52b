//! The kernel's figures of this process, in Prometheus' standard terms.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::server::DescriptorBudget;

/// What the kernel says of this process. `None`: it does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessStatus {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) open_descriptors: Option<u64>,
    /// `None` also without a limit.
    pub(super) max_descriptors: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    /// In seconds since 1970.
    pub(super) start_time: Option<f64>,
    pub(super) threads: Option<u64>,
}

impl ProcessStatus {
    /// Reads `/proc`, which never waits for a disk.
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let mut status = Self {
            cpu_seconds: Some(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9),
            open_descriptors: DescriptorBudget::open_descriptors().ok(),
            max_descriptors: getrlimit(Resource::Nofile).current,
            ..Self::default()
        };
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            status.parse(&stat);
        }
        status
    }

    /// Reads the fields of `/proc/self/stat`, numbered as in proc(5).
    fn parse(&mut self, stat: &str) {
        // The name in parentheses, field 2, may contain spaces.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            return;
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        self.threads = field(20);
        self.virtual_bytes = field(23);
        self.resident_bytes = field(24).map(|pages| pages * page_size() as u64);
        let since_boot = field(22).map(|ticks| ticks as f64 / clock_ticks_per_second() as f64);
        self.start_time = since_boot
            .zip(booted_at())
            .map(|(since, boot)| boot + since);
    }
}

/// When the machine was booted, in seconds since 1970.
fn booted_at() -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let up = clock_gettime(ClockId::Boottime);
    Some(now.as_secs_f64() - up.tv_sec as f64 - up.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_all_of_a_running_process() {
        let status = ProcessStatus::read();
        assert!(status.open_descriptors > Some(2), "{status:?}");
        assert!(status.resident_bytes > Some(1 << 16), "{status:?}");
        assert!(status.virtual_bytes > status.resident_bytes, "{status:?}");
        assert!(status.threads >= Some(1), "{status:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - status.start_time.unwrap();
        assert!((-1.0..86_400.0).contains(&age), "{age} s old: {status:?}");
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_hides_no_field() {
        let mut status = ProcessStatus::default();
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 9 18 100 4096 2 20";
        status.parse(&format!("7 (a) b) (c) {rest}"));
        assert_eq!(status.threads, Some(9));
        assert_eq!(status.virtual_bytes, Some(4096));
        assert_eq!(status.resident_bytes, Some(2 * page_size() as u64));
        status.parse("no parentheses");
    }
}
