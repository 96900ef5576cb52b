//! Sources and the settings of a driver as data: defaults, round trips, what is refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod combinators;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;
use lb_discovery::kubernetes::{
    Cluster, EndpointSlices, Families, NodeAddress, NodePort, Pods, Port,
};
use lb_discovery::settings::{
    ClusterSettings, DnsSettings, EndpointSlicesSettings, FileSettings, NodePortSettings, PodOwner,
    PodsSettings, ResolverSettings, SourceBuilder, SourceSettings, SystemDnsSettings,
};
use lb_discovery::{
    Dns, Driver, DriverConfig, File, FileFormat, OnEmpty, Resolver, Source, Static, SystemDns,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(text: &str) -> T {
    let read = serde_saphyr::from_str(text);
    read.unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    // JSON is YAML.
    assert_eq!(read::<T>(&text), *value, "{text}");
    text
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(text: &str, said: &str) {
    let error = serde_saphyr::from_str::<T>(text).unwrap_err().to_string();
    assert!(error.contains(said), "{text}: {error}");
    assert!(error.contains("line 1"), "{error}");
}

/// The source of `text` in YAML, which is the same as `built`.
#[track_caller]
fn same(text: &str, built: &dyn Source) {
    let settings: SourceSettings = read(text);
    round_trip(&settings);
    let source = SourceBuilder::new().build(&settings).unwrap();
    assert_eq!(format!("{source:?}"), format!("{built:?}"));
}

#[test]
fn what_a_file_leaves_out_has_the_default_of_the_builders() {
    assert_eq!(read::<DriverConfig>("{}"), DriverConfig::new());
    assert_eq!(
        round_trip(&DriverConfig::new()),
        "{\"backoff_base\":\"500ms\",\"backoff_max\":\"30s\",\"debounce\":\"50ms\",\"initial_wait\":\"1s\",\
         \"max_stale\":false,\"min_refresh\":\"1s\",\"on_empty\":\"keep_last\"}"
    );
    let system = || Resolver::try_system().unwrap();
    same(
        "{dns: {name: node1.example.com, port: 446}}",
        &Dns::try_new(system(), "node1.example.com", 446).unwrap(),
    );
    same(
        "{dns: {name: _echo._tcp.example.com}}",
        &Dns::try_service(system(), "_echo._tcp.example.com").unwrap(),
    );
    same("{file: {path: nodes.json}}", &File::new("nodes.json"));
    let cluster = Cluster::inferred;
    same(
        "{endpoint_slices: {namespace: default, service: echo}}",
        &EndpointSlices::try_new(cluster(), "default", "echo").unwrap(),
    );
    same(
        "{node_port: {namespace: default, service: echo}}",
        &NodePort::try_new(cluster(), "default", "echo").unwrap(),
    );
    same(
        "{pods: {namespace: default, of: {daemon_set: echo}, port: 446}}",
        &Pods::try_daemon_set(cluster(), "default", "echo", 446).unwrap(),
    );
    let fixed = Snapshot::from_addrs(["10.0.0.1:446".parse().unwrap()]);
    same("{static: ['10.0.0.1:446']}", &Static::new(fixed));
    same(
        "{system_dns: {name: node1, port: 446}}",
        &SystemDns::try_new("node1", 446).unwrap(),
    );
    let system_dns = SystemDnsSettings::new("node1", 446);
    let text = "{name: node1, port: 446}";
    assert_eq!(read::<SystemDnsSettings>(text), system_dns);
    round_trip(&ResolverSettings::default());
    round_trip(&ClusterSettings::default());
    let host = DnsSettings::host("node1", 446);
    assert_eq!(read::<DnsSettings>("{name: node1, port: 446}"), host);
    assert_eq!(read::<FileSettings>("{path: a}"), FileSettings::new("a"));
    let slices = EndpointSlicesSettings::new("default", "echo");
    let text = "{namespace: default, service: echo}";
    assert_eq!(read::<EndpointSlicesSettings>(text), slices);
    let nodes = NodePortSettings::new("default", "echo");
    assert_eq!(read::<NodePortSettings>(text), nodes);
    let pods = PodsSettings::new("default", PodOwner::Deployment("echo".into()), "web");
    let text = "{namespace: default, of: {deployment: echo}, port: web}";
    assert_eq!(read::<PodsSettings>(text), pods);
}

#[test]
fn every_setting_reaches_its_source() {
    let servers = ["10.0.0.53:53", "10.0.0.54:5353"].map(|addr| addr.parse().unwrap());
    let resolver = Resolver::builder()
        .name_servers(&servers)
        .hosts("/etc/hosts")
        .resolv_conf("/etc/resolv.conf")
        .timeout(Duration::from_millis(1500))
        .attempts(3)
        .ipv6(false)
        .valid(Duration::from_secs(30))
        .concurrent_questions(8);
    let dns = Dns::try_new(resolver.build().unwrap(), "node1.example.com", 446).unwrap();
    same(
        "{dns: {name: node1.example.com, port: 446, interval: 20s, jitter: 0s, min_ttl: 2s, max_ttl: 1m, resolver: \
         {name_servers: [10.0.0.53, '10.0.0.54:5353'], hosts: /etc/hosts, resolv_conf: /etc/resolv.conf, timeout: 1.5s, \
         attempts: 3, ipv4: true, ipv6: false, valid: 30s, concurrent_questions: 8}}}",
        &dns.interval(Duration::from_secs(20))
            .jitter(Duration::ZERO)
            .min_ttl(Duration::from_secs(2))
            .max_ttl(Duration::from_secs(60)),
    );
    let system_dns = SystemDns::try_new("node1.example.com", 446).unwrap();
    same(
        "{system_dns: {name: node1.example.com, port: 446, interval: 20s, jitter: 0s, timeout: 5s}}",
        &system_dns
            .interval(Duration::from_secs(20))
            .jitter(Duration::ZERO)
            .timeout(Duration::from_secs(5)),
    );
    let file = File::with_format("nodes", FileFormat::Json);
    same(
        "{file: {path: nodes, format: json, interval: 5s}}",
        &file.interval(Duration::from_secs(5)),
    );
    let cluster = || {
        Cluster::kubeconfig("/etc/lb/kubeconfig")
            .context("east")
            .confirm_empty(Duration::from_secs(1))
            .page_size(7)
            .relist_interval(Duration::from_secs(60))
            .request_timeout(Duration::from_secs(5))
            .watch_timeout(Duration::from_secs(20))
            .plugin_timeout(Duration::from_secs(3))
    };
    let config = "cluster: {config: {kubeconfig: /etc/lb/kubeconfig}, context: east, confirm_empty: 1s, page_size: 7, \
                  relist_interval: 1m, request_timeout: 5s, watch_timeout: 20s, plugin_timeout: 3s}";
    let slices = EndpointSlices::try_new(cluster(), "a", "b").unwrap();
    same(
        &format!(
            "{{endpoint_slices: {{namespace: a, service: b, port: 80, families: ipv6, {config}}}}}"
        ),
        &slices.port(80).families(Families::Ipv6),
    );
    let nodes = NodePort::try_new(cluster(), "a", "b").unwrap();
    same(
        &format!(
            "{{node_port: {{namespace: a, service: b, port: web, families: prefer_ipv6, addresses: [external, internal], \
             ready_only: true, {config}}}}}"
        ),
        &nodes
            .port("web")
            .families(Families::PreferIpv6)
            .addresses([NodeAddress::External, NodeAddress::Internal])
            .ready_only(true),
    );
    let pods = Pods::try_selected(cluster(), "a", "app=echo", Port::from("web")).unwrap();
    same(
        &format!(
            "{{pods: {{namespace: a, of: {{selector: app=echo}}, port: web, families: ipv4, {config}}}}}"
        ),
        &pods.families(Families::Ipv4),
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let refused_source = refused::<SourceSettings>;
    for (text, said) in [
        (
            "{dsn: {name: a}}",
            "unknown variant `dsn`, expected one of dns",
        ),
        (
            "{dns: {nam: a}}",
            "unknown field `nam`, expected one of name",
        ),
        ("{dns: {port: 446}}", "missing field"),
        ("{dns: {name: a, port: 70000}}", "u16"),
        ("{dns: {name: a, interval: 10}}", "a time with its unit"),
        (
            "{dns: {name: a, resolver: {name_servers: [b]}}}",
            "\"b\" is no name server",
        ),
        ("{system_dns: {name: a}}", "missing field"),
        ("{file: {}}", "missing field"),
        ("{file: {path: a, format: toml}}", "unknown variant `toml`"),
        ("{static: [a]}", "\"a\" is no IP address with a port"),
        (
            "{static: ['10.0.0.1:1', '10.0.0.1:1']}",
            "backends 1 and 2 are both 10.0.0.1:1",
        ),
        ("{pods: {namespace: a, of: b, port: 1}}", "b"),
        (
            "{pods: {namespace: a, of: {selector: b}, port: []}}",
            "the name or the number of a port",
        ),
        (
            "{endpoint_slices: {namespace: a, service: b, cluster: {contxt: c}}}",
            "unknown field `contxt`",
        ),
        (
            "{node_port: {namespace: a, service: b, addresses: [any]}}",
            "unknown variant `any`",
        ),
        ("{shifted: {tiers: 1}}", "missing field"),
        ("{filtered: {keep: {zones: [a]}}}", "missing field"),
        (
            "{filtered: {source: {static: []}, keep: {zone: a}}}",
            "unknown field `zone`, expected one of names",
        ),
        (
            "{filtered: {source: {static: []}, drop: {zones: []}}}",
            "at least one value",
        ),
        (
            "{filtered: {source: {static: []}, keep: {networks: [10.0.0.0/33]}}}",
            "\"10.0.0.0/33\" is neither an IP address nor a block",
        ),
        (
            "{filtered: {source: {static: []}, keep: {family: inet6}}}",
            "unknown variant `inet6`",
        ),
        (
            "{filtered: {source: {static: []}, allow: {}}}",
            "unknown field `allow`",
        ),
        ("{mapped: {weight: 1}}", "missing field"),
        (
            "{mapped: {source: {static: []}, backup: true}}",
            "unknown field `backup`, expected one of source",
        ),
        (
            "{mapped: {source: {static: []}, port: 0}}",
            "a number above 0",
        ),
        (
            "{mapped: {source: {static: []}, fail_timeout: 10}}",
            "a time with its unit",
        ),
        ("{merged: {sources: []}}", "sequence"),
    ] {
        refused_source(text, said);
    }
    refused::<DriverConfig>("{on_empty: never}", "unknown variant `never`");
    refused::<DriverConfig>("{max_age: 1s}", "unknown field `max_age`");
    let mut builder = SourceBuilder::new();
    let wrong: SourceSettings = read("{dns: {name: 'a b', port: 1}}");
    let resolver = Resolver::try_system().unwrap();
    let said = Dns::try_new(resolver, "a b", 1).unwrap_err().to_string();
    assert_eq!(builder.build(&wrong).unwrap_err().to_string(), said);
}

#[tokio::test]
async fn the_status_of_a_driver_is_written() {
    let set = Snapshot::try_from_backends(["10.0.0.1:1"]).unwrap();
    let source: Arc<dyn Source> = Arc::new(Static::new(set));
    let (_driver, handle) = Driver::new(vec![source], DriverConfig::new());
    let written = serde_json::to_value(handle.status()).unwrap();
    let expected = serde_json::json!({
        "sources": [{
            "label": "static", "backends": 0, "last_success": null, "is_restored": false, "stale_for": null,
            "next_attempt": null, "expired": false, "last_error": null, "failures": 0, "panics": 0, "updates": 0,
        }],
    });
    assert_eq!(written, expected);
}

proptest! {
    #[test]
    fn any_settings_of_a_driver_are_read_back(
        millis in prop::array::uniform4(0..u64::MAX / 2000),
        stale in prop::option::of(0..u64::MAX / 2000),
        seed in prop::option::of(any::<u64>()),
        apply: bool,
    ) {
        let [base, max, debounce, wait] = millis.map(Duration::from_millis);
        let mut config = DriverConfig::new()
            .backoff_base(base)
            .backoff_max(max)
            .debounce(debounce)
            .initial_wait(wait)
            .min_refresh(wait)
            .max_stale(stale.map(Duration::from_millis));
        if apply {
            config = config.on_empty(OnEmpty::Apply);
        }
        if let Some(seed) = seed {
            config = config.seed(seed);
        }
        round_trip(&config);
    }
}
