//! Numbers as text, and the ticks of an axis.

use std::time::Duration;

/// A duration with three significant digits.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = if seconds >= 1.0 {
        (seconds, "s")
    } else if seconds >= 1e-3 {
        (seconds * 1e3, "ms")
    } else {
        (seconds * 1e6, "µs")
    };
    let digits = match value {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A latency with three significant digits; a dash if no connection was served.
pub(crate) fn latency(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), duration)
}

/// A duration on an axis, without trailing zeros.
pub(super) fn short_duration(seconds: f64) -> String {
    match seconds {
        s if s >= 0.999 => format!("{} s", plain(s)),
        s if s >= 0.999e-3 => format!("{} ms", plain(s * 1e3)),
        s => format!("{} µs", plain(s * 1e6)),
    }
}

/// A number on an axis, without trailing zeros.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Round numbers from `least` to `most` for a logarithmic axis: 1, 2, 5, 10 and so on, fewer over many decades.
pub(super) fn log_ticks(least: f64, most: f64) -> Vec<f64> {
    let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let steps: &[f64] = match (most / least).log10() {
        decades if decades <= 2.2 => &[1.0, 2.0, 5.0],
        decades if decades <= 3.2 => &[1.0, 3.0],
        _ => &[1.0],
    };
    (from..=to)
        .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
        .filter(|tick| (least..=most).contains(tick))
        .collect()
}
