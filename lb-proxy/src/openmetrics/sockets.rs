//! The metrics of the sockets to backends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::families as f;
use super::writer::FamilyWriter;
use crate::net::tcp_info::TcpInfo;
use crate::server::Handle;

/// Collects at each scrape what the kernel reports of a sample of the live sockets to backends: round-trip times and
/// retransmits by upstream.
///
/// The proxy must [track](crate::ProxyBuilder::track_sessions) its sessions. The sample is spread over all live sessions, and
/// has other ones at each scrape, so an upstream with few of them may be missing. Costs a system call for a socket, about a
/// microsecond, on the thread that asks; the sessions lose nothing but a lock of their worker's table for some microseconds.
#[derive(Clone, Debug)]
#[must_use = "a collector collects once it is registered"]
pub struct SocketCollector {
    handle: Handle,
    most: usize,
}

impl SocketCollector {
    /// A collector of the server of `handle`, which reads at most `most` sockets at a scrape.
    pub const fn new(handle: Handle, most: usize) -> Self {
        Self { handle, most }
    }
}

impl Collector for SocketCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sampled = self.handle.sample_sockets(self.most);
        write(&mut FamilyWriter::new(encoder), &sampled)
    }
}

fn write(to: &mut FamilyWriter<'_>, sampled: &BTreeMap<Arc<str>, Vec<TcpInfo>>) -> fmt::Result {
    let all = || {
        let all = sampled.iter();
        all.map(|(upstream, sockets)| (("upstream", &**upstream), sockets))
    };
    let sum = |count: fn(&TcpInfo) -> u32| {
        all().map(move |(upstream, sockets)| {
            let counts = sockets.iter().map(|info| u64::from(count(info)));
            ([upstream], counts.sum::<u64>())
        })
    };
    let sockets = all().map(|(upstream, sockets)| ([upstream], sockets.len()));
    to.gauges(&f::SOCKET_SAMPLES, sockets)?;
    let times = all().flat_map(|(upstream, sockets)| {
        let times = statistics(sockets.iter().map(|info| info.rtt).collect());
        times.map(|(name, time)| ([upstream, ("statistic", name)], time.as_secs_f64()))
    });
    to.gauges(&f::SOCKET_RTT, times)?;
    to.gauges(&f::SOCKET_SENT, sum(|info| info.sent))?;
    to.gauges(&f::SOCKET_RETRANSMITTED, sum(|info| info.retransmitted))?;
    to.gauges(
        &f::SOCKET_UNANSWERED,
        sum(|info| u32::from(info.timeouts > 0)),
    )
}

/// The median, the 90th percentile and the maximum of at least one time.
fn statistics(mut times: Vec<Duration>) -> [(&'static str, Duration); 3] {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let at = |percent: usize| times.get(last * percent / 100).copied();
    let named = [("median", 50), ("p90", 90), ("max", 100)];
    named.map(|(name, percent)| (name, at(percent).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_times_that_were_measured() {
        let times = (1..=11).rev().map(Duration::from_millis).collect();
        let expected = [("median", 6), ("p90", 10), ("max", 11)];
        assert_eq!(
            statistics(times),
            expected.map(|(name, n)| (name, Duration::from_millis(n)))
        );
        let one = statistics(vec![Duration::from_millis(7)]);
        assert!(
            one.iter()
                .all(|(_, time)| *time == Duration::from_millis(7))
        );
    }
}
