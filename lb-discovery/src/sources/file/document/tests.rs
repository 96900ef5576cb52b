use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::{AdminState, Backend, FailLimit, Priority, Weight};
use proptest::prelude::*;

use super::*;

fn read(format: FileFormat, text: &str) -> Result<Vec<Backend>, Box<str>> {
    let read = parse(text.as_bytes(), format, &"file:test".into());
    read.map(|snapshot| snapshot.iter().cloned().collect())
}

fn problem(format: FileFormat, text: &str) -> String {
    read(format, text).expect_err(text).into()
}

const WHOLE_YAML: &str = "
# the rack
backends:
  - addr: 10.0.0.1:446
  - addr: '[2001:db8::2]:446'
    name: node2
    weight: 5
    state: drain
    priority: 1
    max_conns: 100
    max_fails: 3
    fail_timeout: 1500ms
    zone: rack-1
    instance: 5f3a
    source: inventory
  - {addr: '10.0.0.3:446', weight: 0, max_fails: 0, max_conns: 0, fail_timeout: 2m}
";

const WHOLE_JSON: &str = r#"{ "backends": [
    { "addr": "10.0.0.1:446" },
    { "addr": "[2001:db8::2]:446", "name": "node2", "weight": 5, "state": "drain", "priority": 1,
      "max_conns": 100, "max_fails": 3, "fail_timeout": "1500ms", "zone": "rack-1", "instance": "5f3a",
      "source": "inventory" },
    { "addr": "10.0.0.3:446", "weight": 0, "max_fails": 0, "max_conns": 0, "fail_timeout": "2m" }
] }"#;

#[test]
fn every_field_of_a_backend_can_be_written() {
    let max_fails = NonZeroU32::new(3).unwrap();
    let source = "file:test";
    let expected = vec![
        Backend::new("10.0.0.1:446".parse().unwrap()).source(source),
        Backend::new("[2001:db8::2]:446".parse().unwrap())
            .name("node2")
            .weight(Weight::new(5))
            .admin(AdminState::Drain)
            .priority(Priority::BACKUP)
            .max_conns(100)
            .fail_limit(Some(FailLimit::new(max_fails, Duration::from_millis(1500))))
            .zone("rack-1")
            .instance("5f3a")
            .source("inventory"),
        Backend::new("10.0.0.3:446".parse().unwrap())
            .weight(Weight::ZERO)
            .fail_limit(None)
            .source(source),
    ];
    assert_eq!(read(FileFormat::Yaml, WHOLE_YAML).unwrap(), expected);
    assert_eq!(read(FileFormat::Json, WHOLE_JSON).unwrap(), expected);
    // JSON is YAML, too.
    assert_eq!(read(FileFormat::Yaml, WHOLE_JSON).unwrap(), expected);
}

#[test]
fn an_empty_list_is_valid() {
    assert_eq!(read(FileFormat::Yaml, "backends: []").unwrap(), []);
    assert_eq!(read(FileFormat::Json, r#"{"backends": []}"#).unwrap(), []);
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, what, place) in [
        ("weigth: 3", "`weigth`", "line 3, column 5"),
        ("weight: 70000", "u16", "line 3, column 13"),
        ("weight: -1", "u16", "line 3, column 13"),
        ("weight: heavy", "u16", "line 3, column 13"),
        ("priority: 256", "u8", "line 3, column 15"),
        ("state: down", "`down`", "line 3, column 12"),
        (
            "fail_timeout: 10",
            "500ms, 10s, 5m or 1h",
            "line 3, column 5",
        ),
        (
            "fail_timeout: 99999999999999999999h",
            "500ms",
            "line 3, column 5",
        ),
        ("weight: 1\n    weight: 2", "weight", "line 4, column 5"),
        ("\tweight: 2", "tab", "line 2, column 11"),
        ("name: [a, b]", "string", "line 3, column 11"),
    ] {
        let text = format!("backends:\n  - addr: 10.0.0.1:446\n    {text}\n");
        let problem = problem(FileFormat::Yaml, &text);
        assert!(problem.contains(what), "{problem}");
        assert!(problem.contains(place), "{problem}");
    }
    // The JSON parser reports the line of the mistake, and a column near it.
    for (text, what) in [
        ("\"weigth\": 3", "`weigth`"),
        ("\"weight\": 70000", "u16"),
        ("\"state\": \"down\"", "`down`"),
        ("\"weight\": 1, \"weight\": 2", "duplicate field `weight`"),
        ("\"weight\": 1,", "trailing comma"),
    ] {
        let text = format!("{{\"backends\": [\n{{\"addr\": \"10.0.0.1:446\",\n{text}}}]}}");
        let problem = problem(FileFormat::Json, &text);
        assert!(problem.contains(what), "{problem}");
        assert!(problem.contains(" at line 3, column "), "{problem}");
    }
}

#[test]
fn addresses_are_checked() {
    for addr in [
        "node1:446",
        "10.0.0.1",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "2001:db8::1:446",
        "0.0.0.0:446",
        "[::]:1",
        "",
    ] {
        let problem = problem(
            FileFormat::Yaml,
            &format!("backends:\n  - addr: \"{addr}\"\n"),
        );
        let expected = format!("{addr:?} is no IP address with a port");
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(problem.contains("line 2, column 11"), "{problem}");
    }
    let text =
        "backends:\n  - addr: 10.0.0.1:446\n  - addr: 10.0.0.2:446\n  - addr: 10.0.0.1:446\n";
    let problem = problem(FileFormat::Yaml, text);
    assert!(
        problem.starts_with("backends 1 and 3 are both 10.0.0.1:446"),
        "{problem}"
    );
}

#[test]
fn an_invalid_document_is_no_empty_list() {
    for text in [
        "",
        "# nothing\n",
        "backends:\n",
        "backends: 7",
        "[]",
        "backends: [\n",
        "backends: []\n---\nbackends: []\n",
    ] {
        let problem = problem(FileFormat::Yaml, text);
        assert!(problem.contains("line "), "{text:?}: {problem}");
    }
    for text in ["", "{}", "[]", "{\"backends\": [", "{\"backends\": []} x"] {
        let problem = problem(FileFormat::Json, text);
        assert!(problem.contains("line "), "{text:?}: {problem}");
    }
    let label = "file:test".into();
    let problem = parse(b"backends:\n  \xff", FileFormat::Yaml, &label).unwrap_err();
    assert_eq!(&*problem, "not valid UTF-8 at line 2");
}

/// A small text must not become a large set: nine generations of nine aliases each.
#[test]
fn aliases_do_not_multiply_without_end() {
    let mut text = String::from("a0: &a0 {addr: 10.0.0.1:446}\n");
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        text += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    assert!(read(FileFormat::Yaml, &(text + "backends: *a9\n")).is_err());
}

#[test]
fn many_backends_are_read() {
    let mut text = String::from("backends:\n");
    for n in 0..5000_u32 {
        let (a, b) = (n / 250, n % 250 + 1);
        text += &format!(
            "  - addr: 10.0.{a}.{b}:446\n    name: node{n}\n    weight: 3\n    zone: rack-1\n"
        );
    }
    assert_eq!(read(FileFormat::Yaml, &text).unwrap().len(), 5000);
}

fn formats() -> impl Strategy<Value = FileFormat> {
    prop_oneof![Just(FileFormat::Json), Just(FileFormat::Yaml)]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), format in formats()) {
        drop(parse(&bytes, format, &"file:test".into()));
    }

    /// Almost valid files: with bytes replaced, removed and doubled.
    #[test]
    fn no_mistake_makes_it_panic(
        format in formats(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), ".{0,3}"),
            0..6,
        ),
    ) {
        let mut text = match format {
            FileFormat::Json => WHOLE_JSON.to_owned(),
            FileFormat::Yaml => WHOLE_YAML.to_owned(),
        };
        for (from, to, with) in edits {
            let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            if bounds.is_empty() {
                break;
            }
            let (from, to) = (*from.get(&bounds), *to.get(&bounds));
            text.replace_range(from.min(to)..from.max(to), &with);
        }
        if let Err(problem) = read(format, &text) {
            prop_assert!(!problem.is_empty() && !problem.contains('\n'), "{problem}");
        }
    }

    /// A written file is read back unchanged.
    #[test]
    fn any_backends_are_read_back(
        hosts in prop::collection::btree_map(
            any::<[u8; 3]>().prop_map(|[a, b, c]| [10, a, b, c]),
            any::<(u16, u8, u32)>(),
            0..20,
        ),
    ) {
        let entry = |(ip, (weight, priority, max_conns)): (&[u8; 4], &(u16, u8, u32))| {
            let addr = SocketAddr::from((*ip, 446));
            format!(r#"{{"addr": "{addr}", "weight": {weight}, "priority": {priority}, "max_conns": {max_conns}}}"#)
        };
        let entries: Vec<String> = hosts.iter().map(entry).collect();
        let text = format!(r#"{{"backends": [{}]}}"#, entries.join(","));
        let (json, yaml) = (read(FileFormat::Json, &text).unwrap(), read(FileFormat::Yaml, &text).unwrap());
        prop_assert_eq!(&json, &yaml);
        prop_assert_eq!(json.len(), hosts.len());
        for (backend, (ip, (weight, priority, max_conns))) in json.iter().zip(&hosts) {
            prop_assert_eq!(backend.addr, SocketAddr::from((*ip, 446)));
            let limit = backend.max_conns.map_or(0, NonZeroU32::get);
            let found = (backend.weight.get(), backend.priority.get(), limit);
            prop_assert_eq!(found, (*weight, *priority, *max_conns));
        }
    }
}
