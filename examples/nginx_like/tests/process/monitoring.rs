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

/// The names of the metrics in `text`, with their documented labels.
fn metrics_in<'t>(
    text: &'t str,
    documented: &'t BTreeMap<String, Vec<&'static str>>,
) -> impl Iterator<Item = (&'t str, &'t [&'static str])> {
    let name = Regex::new(r"\b(?:lb|nginx_like)_[a-z_]+").unwrap();
    let names: Vec<&str> = name.find_iter(text).map(|found| found.as_str()).collect();
    let known = |name| Some((name, &**documented.get(name)?));
    names.into_iter().filter_map(known)
}

/// The text in the parenthesis that opens at the begin of `text`, after spaces.
fn parenthesis(text: &str) -> &str {
    let inner = text.trim_start().strip_prefix('(');
    let inner = inner.unwrap_or_else(|| panic!("no parenthesis: {text:.80}"));
    let mut depth = 1;
    let end = inner.find(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth == 0
    });
    &inner[..end.unwrap_or_else(|| panic!("no end: {inner:.80}"))]
}

#[test]
fn the_queries_group_and_match_by_documented_labels() {
    let documented = documented();
    let clause = Regex::new(r"\b(by|on|without|ignoring|group_left|group_right) *\(").unwrap();
    for (file, text, least) in [
        ("dashboard.json", DASHBOARD, 25),
        ("alerts.yml", ALERTS, 10),
    ] {
        let mut checked = 0;
        for found in clause.captures_iter(text) {
            let [whole, word] = [0, 1].map(|i| found.get(i).expect("a group"));
            let labels = parenthesis(&text[whole.end() - 1..]);
            let after = &text[whole.end() + labels.len() + 1..];
            let about = match word.as_str() {
                "by" => parenthesis(after),
                // All of the query, which is on one line.
                "on" => {
                    let begin = text[..whole.start()].rfind('\n').unwrap_or(0);
                    let end = text[whole.end()..].find('\n');
                    &text[begin..end.map_or(text.len(), |end| whole.end() + end)]
                }
                other => panic!("{file}: this test does not know {other}"),
            };
            let mut metrics = metrics_in(about, &documented).peekable();
            assert!(metrics.peek().is_some(), "{file}: no metric in {about}");
            for (metric, known) in metrics {
                for label in labels.split(',').map(str::trim) {
                    let is_bound = label == "le" && metric.ends_with("_bucket");
                    let exists = is_bound || ADDED.contains(&label) || known.contains(&label);
                    assert!(exists, "{file}: metric {metric} has no label {label}");
                    checked += 1;
                }
            }
        }
        assert!(checked >= least, "{file}: {checked} labels");
    }
}
