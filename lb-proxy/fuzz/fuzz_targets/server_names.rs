//! Looks up a name (the last line) in a table of patterns (the other lines), against the rules tried one after the other.
#![no_main]

use lb_proxy::server_names::ServerNames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (patterns, name) = input.rsplit_once('\n').unwrap_or(("", input));
    let mut table = ServerNames::new();
    let mut taken = Vec::new();
    for pattern in patterns.lines() {
        let lower = pattern
            .strip_suffix('.')
            .unwrap_or(pattern)
            .to_ascii_lowercase();
        if table.insert(pattern, lower.clone()).is_ok() {
            taken.push(lower);
        }
    }
    assert_eq!(table.len(), taken.len());
    let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let expected = if lower.len() <= 255 {
        model(&taken, &lower)
    } else {
        None
    };
    assert_eq!(table.find(name), expected);
});

fn model<'a>(patterns: &'a [String], name: &str) -> Option<&'a String> {
    let longest = |matching: &dyn Fn(&str) -> bool| {
        let patterns = patterns.iter().filter(|pattern| matching(pattern));
        patterns.max_by_key(|pattern| pattern.trim_start_matches('*').len())
    };
    longest(&|pattern| pattern == name)
        .or_else(|| {
            longest(&|pattern| match pattern.strip_prefix('*') {
                Some(end) => name.ends_with(end),
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
