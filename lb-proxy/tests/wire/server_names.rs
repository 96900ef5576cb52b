//! The table of server names against a naive model of nginx's rules.

use lb_proxy::server_names::{ServerNameError, ServerNames};
use proptest::prelude::*;

/// A table in which each pattern is its own value, and the patterns that it accepted because they do not conflict.
pub(crate) fn table<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
) -> (ServerNames<&'a str>, Vec<&'a str>) {
    let mut table = ServerNames::new();
    let mut taken = Vec::new();
    for pattern in patterns {
        match table.insert(pattern, pattern) {
            Ok(()) => taken.push(pattern),
            Err(ServerNameError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    (table, taken)
}

#[test]
fn the_best_pattern_wins() {
    let (names, _) = table([
        "www.example.com",
        "*.example.com",
        ".example.org",
        "*.www.example.com",
        "www.*",
        "www.example.*",
        "example.com",
    ]);
    for (name, expected) in [
        ("www.example.com", Some("www.example.com")),
        ("WWW.EXAMPLE.COM.", Some("www.example.com")),
        ("a.www.example.com", Some("*.www.example.com")),
        ("b.a.www.example.com", Some("*.www.example.com")),
        ("ww.example.com", Some("*.example.com")),
        ("example.com", Some("example.com")),
        ("example.org", Some(".example.org")),
        // A leading wildcard beats a trailing one.
        ("www.example.org", Some(".example.org")),
        ("www.example.net", Some("www.example.*")),
        ("www.example.co.uk", Some("www.example.*")),
        ("www.example", Some("www.*")),
        ("www", None),
        ("com", None),
        ("myexample.org", None),
        ("", None),
        (".", None),
    ] {
        assert_eq!(names.find(name).copied(), expected, "{name}");
    }
    assert_eq!(names.len(), 7);
}

/// nginx refuses them as well.
pub(crate) const INVALID: [&str; 7] = [
    "a..b",
    "*a.example.com",
    "www.*.com",
    "www.exam*",
    "*.example.*",
    "**.example.com",
    "*",
];

#[test]
fn invalid_patterns_are_refused() {
    for pattern in ["", ".", "..", "*.", ".example.*", "a\0b"]
        .into_iter()
        .chain(INVALID)
    {
        let error = ServerNames::new().insert(pattern, ()).unwrap_err();
        let pattern = pattern.into();
        assert_eq!(error, ServerNameError::Invalid { pattern });
    }
    let long = "a".repeat(256);
    assert!(ServerNames::new().insert(&long, ()).is_err());
    let (names, _) = table(["*.a", "b.*."]);
    assert_eq!(names.find(format!("{long}.a")), None);
    assert_eq!(names.find("b.a.b").copied(), Some("b.*."));
}

/// nginx refuses them as well.
pub(crate) const CONFLICTS: [[&str; 2]; 7] = [
    ["example.com", "EXAMPLE.com"],
    ["*.example.com", "*.example.com"],
    ["*.example.com", ".example.com"],
    [".example.com", "*.example.com"],
    ["example.com", ".example.com"],
    [".example.com", "example.com"],
    ["www.*", "WWW.*"],
];

#[test]
fn conflicting_patterns_are_refused() {
    for [first, second] in CONFLICTS {
        let mut names = ServerNames::new();
        names.insert(first, 1).unwrap();
        let pattern = second.into();
        assert_eq!(
            names.insert(second, 2),
            Err(ServerNameError::Conflict { pattern })
        );
        assert_eq!(names.len(), 1);
    }
    let (names, _) = table(["example.com", "*.example.com", "example.*", "com"]);
    assert_eq!(names.len(), 4);
}

/// The documented rules, tried one after the other.
fn model<'a>(patterns: &[&'a str], name: &str) -> Option<&'a str> {
    let longest = |matching: &dyn Fn(&str) -> bool| {
        let patterns = patterns.iter().filter(|pattern| matching(pattern));
        patterns
            .max_by_key(|pattern| pattern.trim_start_matches('*').len())
            .copied()
    };
    longest(&|pattern| pattern == name)
        .or_else(|| {
            longest(&|pattern| match pattern.strip_prefix('*') {
                Some(end) => end.starts_with('.') && name.ends_with(end),
                None => pattern.starts_with('.') && format!(".{name}").ends_with(pattern),
            })
        })
        .or_else(|| {
            longest(&|pattern| {
                pattern
                    .strip_suffix('*')
                    .is_some_and(|start| name.starts_with(start))
            })
        })
}

fn labels(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab"]), count)
        .prop_map(|labels| labels.join("."))
}

pub(crate) fn pattern() -> impl Strategy<Value = String> {
    let wildcard = prop::sample::select(vec![("", ""), ("*.", ""), (".", ""), ("", ".*")]);
    (wildcard, labels(1..=3)).prop_map(|((before, behind), name)| format!("{before}{name}{behind}"))
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    labels(1..=5)
}

proptest! {
    #[test]
    fn lookups_match_the_model(patterns in prop::collection::vec(pattern(), 0..12), name in name()) {
        let (names, taken) = table(patterns.iter().map(String::as_str));
        prop_assert_eq!(names.len(), taken.len());
        prop_assert_eq!(names.find(&name).copied(), model(&taken, &name));
        let other = format!("{}.", name.to_ascii_uppercase());
        prop_assert_eq!(names.find(&other), names.find(&name));
    }

    #[test]
    fn never_panics(patterns in prop::collection::vec(".*", 0..4), name in ".*") {
        let mut names = ServerNames::new();
        for pattern in &patterns {
            let _ = names.insert(pattern, ());
        }
        names.find(&name);
    }
}
