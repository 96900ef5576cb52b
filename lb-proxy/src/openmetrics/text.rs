//! A registry as text.

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// A text format that Prometheus reads.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Format {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// The older text format of Prometheus, 0.0.4. `promtool check metrics` reads only this one.
    Prometheus,
}

impl Format {
    /// The format for a request with this `Accept` header: [`OpenMetrics`](Self::OpenMetrics) if it is named and not refused
    /// with a quality of 0, else [`Prometheus`](Self::Prometheus).
    pub fn accepted(accept: &str) -> Self {
        let is_open_metrics = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            kind.eq_ignore_ascii_case("application/openmetrics-text")
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        match accept.split(',').any(is_open_metrics) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The `Content-Type` of a response in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// All metrics of `registry` as text. O(metrics).
pub fn encode(registry: &Registry, format: Format) -> String {
    encode_all(&[registry], format)
}

/// All metrics of `registries`, which must have no metric in common, as one text. O(metrics).
pub fn encode_all(registries: &[&Registry], format: Format) -> String {
    let mut encoded = String::new();
    let result = write(&mut encoded, registries, format);
    // A string accepts every write, so only a collector of the embedder's can fail.
    if let Err(error) = result {
        tracing::warn!(%error, "Metrics incomplete");
    }
    encoded
}

fn write(to: &mut String, registries: &[&Registry], format: Format) -> fmt::Result {
    for registry in registries {
        match format {
            Format::OpenMetrics => text::encode_registry(to, registry)?,
            Format::Prometheus => prometheus_text::encode(to, registry)?,
        }
    }
    match format {
        Format::OpenMetrics => text::encode_eof(to),
        Format::Prometheus => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_request_accepts() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0, text/plain",
        ] {
            assert_eq!(Format::accepted(other), Format::Prometheus, "{other}");
        }
    }
}
