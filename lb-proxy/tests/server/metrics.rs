//! The metrics of a server, as a scrape shows them.

mod counters;
#[cfg(feature = "access-events")]
mod documented;
mod gauges;
mod no_backend;
mod removed;

use std::collections::BTreeMap;

use lb_proxy::openmetrics::{Format, ServerCollector, SocketCollector, encode};
use prometheus_client::registry::Registry;
use test_support::proxy::RunningProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A registry with the collector of a running proxy.
struct Scraped(Registry);

impl Scraped {
    fn of(proxy: &RunningProxy) -> Self {
        let mut registry = Registry::default();
        let collector = ServerCollector::new(proxy.handle.clone());
        registry.register_collector(Box::new(collector));
        Self(registry)
    }

    /// A registry with the collector of a sample of at most `most` sockets.
    fn sockets_of(proxy: &RunningProxy, most: usize) -> Self {
        let mut registry = Registry::default();
        let collector = SocketCollector::new(proxy.handle.clone(), most);
        registry.register_collector(Box::new(collector));
        Self(registry)
    }

    /// The series of one scrape with their values.
    fn scrape(&self) -> BTreeMap<String, f64> {
        let text = encode(&self.0, Format::OpenMetrics);
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let parsed = samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        });
        parsed.collect()
    }
}

fn value(scrape: &BTreeMap<String, f64>, series: &str) -> Option<f64> {
    scrape.get(series).copied()
}

fn sum(scrape: &BTreeMap<String, f64>, start: &str) -> f64 {
    let matching = scrape
        .iter()
        .filter(|(series, _)| series.starts_with(start));
    matching.map(|(_, value)| value).sum()
}

async fn round_trip(stream: &mut TcpStream, bytes: usize) {
    stream.write_all(&vec![7; bytes]).await.unwrap();
    let mut answer = vec![0; bytes];
    stream.read_exact(&mut answer).await.unwrap();
}
