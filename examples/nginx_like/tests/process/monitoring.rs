//! The dashboard and the alerts against the documented metrics, which other tests compare with a scrape.

use std::collections::BTreeMap;

use regex::Regex;

const METRICS: [&str; 2] = [
    include_str!("../../../../lb-proxy/docs/metrics.md"),
    include_str!("../../docs/metrics.md"),
];
const DASHBOARD: &str = include_str!("../../monitoring/dashboard.json");
const ALERTS: &str = include_str!("../../monitoring/alerts.yml");

/// The labels that Prometheus adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// The names of the documented series, each with its labels.
fn documented() -> BTreeMap<String, Vec<&'static str>> {
    let lines = METRICS.iter().flat_map(|document| document.lines());
    let rows = lines.filter(|line| line.starts_with("| `"));
    let series = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [name, kind, labels] = [cells[1].trim_matches('`'), cells[2], cells[3]];
        let labels = labels.split(", ").map(|label| label.trim_matches('`'));
        let labels: Vec<&str> = labels.filter(|label| !label.is_empty()).collect();
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => &[""],
        };
        suffixes
            .iter()
            .map(move |suffix| (format!("{name}{suffix}"), labels.clone()))
    });
    series.collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_documented_metrics_and_labels() {
    let documented = documented();
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("is JSON");
    assert!(dashboard["panels"].is_array() && dashboard["uid"].is_string());
    let series = Regex::new(r"\b((?:lb|nginx_like)_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"([a-z_]+) *(?:=~|!=|!~|=)").unwrap();
    for (file, text, least) in [
        ("dashboard.json", DASHBOARD, 40),
        ("alerts.yml", ALERTS, 15),
    ] {
        let uses = series.captures_iter(text);
        let mut found = 0;
        for used in uses {
            let name = &used[1];
            let known = documented.get(name);
            let known = known.unwrap_or_else(|| panic!("{file}: no metric {name} is documented"));
            let selector = used.get(2).map_or("", |selector| selector.as_str());
            for label in label.captures_iter(selector) {
                let label = label.get(1).expect("is no option").as_str();
                let exists = ADDED.contains(&label) || known.contains(&label);
                assert!(exists, "{file}: metric {name} has no label {label}");
            }
            found += 1;
        }
        assert!(found >= least, "{file}: {found} uses of metrics");
    }
}
