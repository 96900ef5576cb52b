//! Writes metric families to an encoder of `prometheus-client`.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::metrics::Histogram;

/// The name of a family without the suffixes that its unit and its type add, and what it means.
#[derive(Debug)]
#[must_use]
pub struct Family {
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
}

impl Family {
    /// A family without a unit. The type adds `_total` to the name of a counter.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let unit = None;
        Self { name, unit, help }
    }

    /// A family of times: `_seconds` is added to the name.
    pub const fn in_seconds(name: &'static str, help: &'static str) -> Self {
        let unit = Some(Unit::Seconds);
        Self { name, unit, help }
    }

    /// A family of sizes: `_bytes` is added to the name.
    pub const fn in_bytes(name: &'static str, help: &'static str) -> Self {
        let unit = Some(Unit::Bytes);
        Self { name, unit, help }
    }
}

/// Writes families one after the other, for a [collector](prometheus_client::collector::Collector). A family without a sample is
/// left out.
#[derive(Debug)]
pub struct FamilyWriter<'a>(DescriptorEncoder<'a>);

impl<'a> FamilyWriter<'a> {
    /// A writer to `encoder`.
    pub const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Writes a family of counters: labels and values.
    ///
    /// # Errors
    ///
    /// Those of the encoder.
    pub fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.samples(family, MetricType::Counter, samples, |metric, count| {
            metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
        })
    }

    /// Writes a family of gauges: labels and values.
    ///
    /// # Errors
    ///
    /// Those of the encoder.
    pub fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.samples(family, MetricType::Gauge, samples, |metric, value| {
            metric.encode_gauge(&value)
        })
    }

    /// Writes a family of histograms: labels and values.
    ///
    /// # Errors
    ///
    /// Those of the encoder.
    pub fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        self.samples(family, MetricType::Histogram, samples, |metric, times| {
            let counts = times.counts.iter().copied();
            let buckets: Vec<_> = times.bounds.iter().copied().zip(counts).collect();
            metric.encode_histogram::<NoLabelSet>(times.sum, times.count(), &buckets, None)
        })
    }

    fn samples<L: EncodeLabelSet, V>(
        &mut self,
        family: &Family,
        kind: MetricType,
        samples: impl IntoIterator<Item = (L, V)>,
        encode: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let Family { name, unit, help } = family;
        let encoder = &mut self.0;
        let mut metrics = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in samples {
            encode(&mut metrics.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}
