//! Sources made of other sources: which backends they leave, and what they change of them.

use std::time::Duration;

use lb_core::{AdminState, Backend, FailLimit, Priority, Snapshot, Weight};
use lb_discovery::settings::{
    BackendMatch, FilteredSettings, MappedSettings, ShiftedSettings, SourceBuilder, SourceSettings,
};
use lb_discovery::{IpFamily, Network};
use proptest::option::of;
use proptest::prelude::*;

use super::{read, round_trip};

/// What the source of `text` in YAML makes of `backends`.
fn adapted(text: &str, backends: &[Backend]) -> Vec<Backend> {
    let settings: SourceSettings = read(text);
    round_trip(&settings);
    let source = SourceBuilder::new().build(&settings).unwrap();
    let raw = Snapshot::from_backends(backends.iter().cloned());
    source.adapt(raw).iter().cloned().collect()
}

fn backend(addr: &str) -> Backend {
    addr.parse().unwrap()
}

/// Some backends, each with its name.
fn backends() -> Vec<Backend> {
    vec![
        backend("10.0.0.1:446").name("a").zone("east").node("n1"),
        backend("10.0.1.1:447").name("b").zone("west").node("n2"),
        backend("[2001:db8::1]:446").name("c").zone("east"),
        backend("[::ffff:10.0.0.9]:446").name("d"),
        backend("192.0.2.1:446")
            .name("e")
            .priority(Priority::BACKUP),
        backend("unix:/run/x.sock").name("f").zone("east"),
        backend("192.0.2.2:448"),
    ]
}

#[test]
fn a_filter_keeps_and_drops_by_every_condition() {
    for (conditions, kept) in [
        ("keep: {names: [a, c]}", "ac"),
        ("keep: {nodes: [n2]}", "b"),
        ("keep: {zones: [east]}", "acf"),
        ("keep: {zones: [east, west]}", "abcf"),
        ("keep: {priorities: [1, 2]}", "e"),
        ("keep: {networks: [10.0.0.0/24, '2001:db8::/32']}", "acd"),
        ("keep: {networks: [10.0.1.1]}", "b"),
        ("keep: {ports: [447, 448]}", "b-"),
        ("keep: {family: ipv4}", "abde-"),
        ("keep: {family: ipv6}", "c"),
        ("keep: {zones: [east], family: ipv4}", "a"),
        ("drop: {zones: [east]}", "bde-"),
        ("drop: {zones: [east], family: ipv4}", "bcdef-"),
        ("drop: {names: [a], nodes: [n2]}", "abcdef-"),
        ("keep: {zones: [east, west]}, drop: {nodes: [n1]}", "bcf"),
        ("keep: {names: [z]}", ""),
    ] {
        let text = format!("{{filtered: {{source: {{static: []}}, {conditions}}}}}");
        let left = adapted(&text, &backends());
        let names = left
            .iter()
            .map(|backend| backend.name.as_deref().unwrap_or("-"));
        assert_eq!(names.collect::<String>(), kept, "{conditions}");
    }
}

#[test]
fn a_filter_without_a_condition_is_refused() {
    for text in [
        "{source: {static: []}}",
        "{source: {static: []}, keep: {}}",
        "{source: {static: []}, keep: {zones: [a]}, drop: {}}",
    ] {
        let filtered: FilteredSettings = read(text);
        let mut builder = SourceBuilder::new();
        let error = builder.build(&SourceSettings::Filtered(filtered));
        assert_eq!(
            error.unwrap_err().to_string(),
            "filtering static: keep or drop has to have a condition, such as a zone"
        );
    }
}

#[test]
fn a_map_changes_what_it_names_and_nothing_else() {
    let plain = || backend("10.0.0.1:446").name("a").weight(Weight::new(7));
    let limit = |fails: u32, seconds| {
        let fails = fails.try_into().unwrap();
        Some(FailLimit::new(fails, Duration::from_secs(seconds)))
    };
    for (change, expected) in [
        ("", plain()),
        (
            "port: 80",
            backend("10.0.0.1:80").name("a").weight(Weight::new(7)),
        ),
        ("weight: 3", plain().weight(Weight::new(3))),
        ("weight: 0", plain().weight(Weight::ZERO)),
        ("state: drain", plain().admin(AdminState::Drain)),
        ("priority: 2", plain().priority(Priority::new(2))),
        ("max_conns: 5", plain().max_conns(5)),
        ("max_fails: 3", plain().fail_limit(limit(3, 10))),
        ("max_fails: 0, fail_timeout: 1m", plain().fail_limit(None)),
        ("fail_timeout: 1m", plain().fail_limit(limit(1, 60))),
        (
            "max_fails: 3, fail_timeout: 1m 30s",
            plain().fail_limit(limit(3, 90)),
        ),
        ("zone: east", plain().zone("east")),
    ] {
        let text = format!("{{mapped: {{source: {{static: []}}, {change}}}}}");
        assert_eq!(adapted(&text, &[plain()]), [expected], "{change}");
    }
    let full = backend("10.0.0.1:446").max_conns(5);
    for off in ["0", "false"] {
        let text = format!("{{mapped: {{source: {{static: []}}, max_conns: {off}}}}}");
        let changed = adapted(&text, std::slice::from_ref(&full));
        assert_eq!(changed, [backend("10.0.0.1:446")], "{off}");
    }
    let never = backend("10.0.0.1:446").fail_limit(None);
    let text = "{mapped: {source: {static: []}, fail_timeout: 1m}}";
    assert_eq!(adapted(text, std::slice::from_ref(&never)), [never]);
    let socket = backend("unix:/run/x.sock");
    let text = "{mapped: {source: {static: []}, port: 80}}";
    assert_eq!(adapted(text, std::slice::from_ref(&socket)), [socket]);
}

#[test]
fn a_shifted_source_has_lower_tiers() {
    let fixed = SourceSettings::Static(Snapshot::from_addrs(["10.0.0.1:446".parse().unwrap()]));
    let shifted = SourceSettings::Shifted(ShiftedSettings::new(fixed, 2));
    let text = r#"{"shifted":{"tiers":2,"source":{"static":[{"addr":"10.0.0.1:446"}]}}}"#;
    assert_eq!(round_trip(&shifted), text);
    let source = SourceBuilder::new().build(&shifted).unwrap();
    let parts = source.parts().unwrap();
    let raw = Snapshot::from_addrs(["10.0.0.1:446".parse().unwrap()]);
    let adapted = parts[0].adapt(raw);
    let tiers: Vec<u8> = adapted
        .iter()
        .map(|backend| backend.priority.get())
        .collect();
    assert_eq!(tiers, [2]);
}

/// A driver follows each of the merged sources alone, and applies to each what surrounds the union.
#[test]
fn combinators_nest_around_a_union() {
    let text = "{shifted: {tiers: 1, source: {mapped: {weight: 3, source: {filtered: {keep: {ports: [1]}, source: {merged: [\
                {static: ['10.0.0.1:1']}, {static: ['10.0.0.2:2']}]}}}}}}}";
    let settings: SourceSettings = read(text);
    round_trip(&settings);
    let source = SourceBuilder::new().build(&settings).unwrap();
    let [shifted] = <[_; 1]>::try_from(source.parts().unwrap()).unwrap();
    let parts = shifted.parts().unwrap();
    assert_eq!(parts.len(), 2);
    let both = Snapshot::try_from_backends(["10.0.0.1:1", "10.0.0.2:2"]).unwrap();
    let expected = backend("10.0.0.1:1")
        .weight(Weight::new(3))
        .priority(Priority::BACKUP);
    for part in parts {
        let left = part.adapt(both.clone());
        assert_eq!(left, Snapshot::from_backends([expected.clone()]));
    }
}

fn texts() -> impl Strategy<Value = Vec<std::sync::Arc<str>>> {
    prop::collection::vec("\\PC{0,5}".prop_map(Into::into), 0..3)
}

prop_compose! {
    fn conditions()(
        [names, nodes, zones] in [texts(), texts(), texts()],
        priorities: Vec<u8>,
        networks in prop::collection::vec((any::<std::net::IpAddr>(), 0..=32_u8), 0..3),
        ports: Vec<u16>,
        family in of(prop::sample::select(vec![IpFamily::V4, IpFamily::V6])),
    ) -> BackendMatch {
        let mut conditions = BackendMatch::default();
        conditions.names = names;
        conditions.nodes = nodes;
        conditions.zones = zones;
        conditions.priorities = priorities.into_iter().map(Priority::new).collect();
        let networks = networks.into_iter();
        let networks = networks.filter_map(|(ip, prefix)| Network::new(ip, prefix));
        conditions.networks = networks.collect();
        conditions.ports = ports;
        conditions.family = family;
        conditions
    }
}

proptest! {
    #[test]
    fn any_combinators_are_read_back(
        [keep, drop] in [of(conditions()), of(conditions())],
        (port, weight, drains) in (of(1..u16::MAX), of(any::<u16>()), of(any::<bool>())),
        (priority, max_conns, max_fails) in (of(any::<u8>()), of(any::<u32>()), of(any::<u32>())),
        (millis, zone) in (of(0..u64::MAX / 2000), of("\\PC{0,5}")),
    ) {
        let fixed = SourceSettings::Static(Snapshot::default());
        let mut filtered = FilteredSettings::keep(fixed, BackendMatch::default());
        filtered.keep = keep;
        filtered.drop = drop;
        let mut mapped = MappedSettings::new(SourceSettings::Filtered(filtered));
        mapped.port = port;
        mapped.weight = weight.map(Weight::new);
        mapped.state = drains.map(|drains| if drains { AdminState::Drain } else { AdminState::Ready });
        mapped.priority = priority.map(Priority::new);
        mapped.max_conns = max_conns;
        mapped.max_fails = max_fails;
        mapped.fail_timeout = millis.map(Duration::from_millis);
        mapped.zone = zone.map(Into::into);
        round_trip(&SourceSettings::Merged(vec![SourceSettings::Mapped(mapped)]));
    }
}
