use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, from_value, json};

use super::annotations::{self, ALL};
use super::*;
use crate::addresses::{Grant, Mode, Owner, allocate};
use crate::config::Config;
use crate::names::{CLASS, DOMAIN, FINALIZER, qualified};
use crate::objects::{ConditionStatus, Service};
use crate::plan::{DrainPlan, Plan, ProxyHeader, Reach};

const NOW: &str = "2026-11-30T00:00:00Z";

fn config(more: &str) -> Config {
    Config::parse(&format!(
        "pools: [{{name: edge, addresses: [192.0.2.1-192.0.2.9]}}]\n{more}"
    ))
    .unwrap()
}

fn object(spec: Value) -> Value {
    let mut object = json!({
        "metadata": {
            "name": "web", "namespace": "default", "uid": "uid-web", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {},
        },
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": CLASS, "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

fn service(object: Value) -> Arc<Service> {
    Arc::new(from_value(object).unwrap())
}

fn annotated(name: &str, value: &str) -> Arc<Service> {
    let mut object = object(json!({}));
    object["metadata"]["annotations"][qualified(name)] = json!(value);
    service(object)
}

struct Planned {
    plan: Plan,
    planned: PlannedService,
    grant: Grant,
}

impl Planned {
    fn report(&self, feedback: &Feedback) -> ServiceReport {
        report(&self.planned, &self.grant, feedback, 128, NOW)
    }

    /// The status, reason and message of a condition.
    fn condition(&self, kind: &str) -> (ConditionStatus, String, String) {
        self.condition_with(kind, &Feedback::default())
    }

    fn condition_with(&self, kind: &str, feedback: &Feedback) -> (ConditionStatus, String, String) {
        let report = self.report(feedback);
        let found = report
            .conditions
            .into_iter()
            .find(|condition| condition.kind == qualified(kind));
        let found = found.unwrap();
        assert_eq!(found.last_transition_time, NOW);
        (found.status, found.reason, found.message)
    }

    fn text(&self) -> String {
        self.plan.to_string()
    }
}

fn plan(service: &Arc<Service>, config: &Config) -> Planned {
    let planned = ReadServices::default()
        .read([service].into_iter(), ServiceRules(config))
        .remove(0);
    let mut grants = allocate(
        &config.pools,
        std::slice::from_ref(&planned.request),
        Mode::Assign,
    );
    let grant = grants.remove(&planned.request.owner).unwrap();
    let mut plan = Plan::default();
    ServiceRules(config).plan(&planned, &grant, &mut plan);
    Planned {
        plan,
        planned,
        grant,
    }
}

#[test]
fn a_service_is_served_on_all_its_ports() {
    let ports =
        json!([{"name": "http", "port": 80}, {"name": "tls", "port": 443, "protocol": "TCP"}]);
    let planned = plan(&service(object(json!({"ports": ports}))), &config(""));
    assert_eq!(
        planned.text(),
        "listen 192.0.2.1:80 for Service default/web, port 80 (http): default/web:80\n\
         listen 192.0.2.1:443 for Service default/web, port 443 (tls): default/web:443\n\
         upstream default/web:443 the pods of default/web:443, policy weighted_round_robin\n\
         upstream default/web:80 the pods of default/web:80, policy weighted_round_robin\n"
    );
    let report = planned.report(&Feedback::default());
    assert_eq!(
        json!(report.ingress),
        json!([{"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}]}])
    );
    assert!(
        report
            .conditions
            .iter()
            .all(|condition| condition.status == ConditionStatus::True)
    );
}

#[test]
fn only_services_of_the_class_are_served() {
    let reason = |spec: Value, more: &str| {
        check_ours(&service(object(spec)), &config(more)).map_err(|reason| reason.to_string())
    };
    assert_eq!(reason(json!({}), ""), Ok(()));
    assert_eq!(
        reason(json!({"loadBalancerClass": null}), "default_class: true"),
        Ok(())
    );
    assert!(
        reason(json!({"loadBalancerClass": null}), "")
            .unwrap_err()
            .contains("has no loadBalancerClass")
    );
    assert!(
        reason(json!({"loadBalancerClass": "a/b"}), "default_class: true")
            .unwrap_err()
            .contains("is \"a/b\"")
    );
    assert!(
        reason(json!({}), "class: a/b")
            .unwrap_err()
            .contains("serves \"a/b\"")
    );
    assert!(
        reason(json!({"type": "NodePort"}), "")
            .unwrap_err()
            .contains("type is NodePort")
    );
    let mut deleted = object(json!({}));
    deleted["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(
        check_ours(&service(deleted), &config("")),
        Err(NotOurs::Deleting)
    );
}

#[test]
fn what_is_left_of_other_controllers_is_not_touched() {
    let own = |mut object: Value, has_condition: bool, has_finalizer: bool| {
        if has_condition {
            object["status"]["conditions"] =
                json!([{"type": qualified("Serving"), "status": "True"}]);
        }
        if has_finalizer {
            object["metadata"]["finalizers"] = json!([FINALIZER]);
        }
        leftover(&service(object), &config(""))
    };
    let deleted = |spec: Value| {
        let mut object = object(spec);
        object["metadata"]["deletionTimestamp"] = json!(NOW);
        object
    };
    assert!(own(deleted(json!({})), false, true));
    assert!(!own(deleted(json!({})), false, false));
    assert!(!own(
        deleted(json!({"loadBalancerClass": "other"})),
        true,
        true
    ));
    assert!(own(
        object(json!({"type": "ClusterIP", "loadBalancerClass": null})),
        true,
        true
    ));
    assert!(!own(
        object(json!({"type": "ClusterIP", "loadBalancerClass": null})),
        false,
        true
    ));
    assert!(!own(
        object(json!({"loadBalancerClass": "other"})),
        true,
        true
    ));
    assert!(!own(object(json!({"loadBalancerClass": null})), true, true));
}

#[test]
fn udp_and_sctp_are_refused_with_a_condition() {
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "web", "port": 80}, {"name": "s", "port": 9, "protocol": "SCTP"}]);
    let planned = plan(&service(object(json!({"ports": ports}))), &config(""));
    assert_eq!(planned.plan.listeners().len(), 1);
    let ports = &planned.report(&Feedback::default()).ingress[0].ports;
    let errors: Vec<_> = ports.iter().map(|port| port.error.as_deref()).collect();
    let unsupported = Some("kube-lb.internal/UnsupportedProtocol");
    assert_eq!(errors, [unsupported, None, unsupported]);
    let (status, reason, message) = planned.condition("Serving");
    assert_eq!(
        (status, reason.as_str()),
        (ConditionStatus::False, "UnsupportedProtocol")
    );
    assert_eq!(
        message,
        "port 53 is of UDP, and only TCP is served; port 9 is of SCTP, and only TCP is served"
    );
    // Without a port of TCP there is nothing to assign an address for.
    let only_udp = plan(
        &service(object(json!({"ports": [{"port": 53, "protocol": "UDP"}]}))),
        &config(""),
    );
    assert_eq!(only_udp.condition("AddressAssigned").1, "NoPort");
}

#[test]
fn what_cannot_be_listened_on_or_found_is_reported() {
    let planned = plan(&service(object(json!({}))), &config(""));
    let feedback = Feedback {
        listening: BTreeMap::from([(
            "192.0.2.1:80".parse().unwrap(),
            "no such address".to_owned(),
        )]),
        backends: BTreeMap::from([("default/web:80".into(), "no slice".to_owned())]),
        ..Feedback::default()
    };
    let (_, reason, message) = planned.condition_with("Serving", &feedback);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        (
            "NotListening",
            "cannot listen on port 80 of 192.0.2.1: no such address"
        )
    );
    let (_, reason, message) = planned.condition_with("BackendsResolved", &feedback);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("NoEndpoints", "port 80: no slice")
    );
    let port = &planned.report(&feedback).ingress[0].ports[0];
    assert!(port_error::is_held(port), "{port:?}");
}

#[test]
fn clusters_are_reported_for_services_that_they_feed() {
    let global = || {
        let mut object = object(json!({}));
        object["metadata"]["labels"] = json!({"kube-lb.internal/global": "true", "other": "x"});
        object
    };
    let conditions = |object: Value, feedback: &Feedback| {
        let report = plan(&service(object), &config("")).report(feedback);
        report
            .conditions
            .into_iter()
            .find(|condition| condition.kind.ends_with("ClustersJoined"))
    };
    let mut feedback = Feedback::default();
    // One cluster.
    assert_eq!(conditions(global(), &feedback), None);
    feedback.clusters = BTreeMap::from([("east".to_owned(), None), ("north".to_owned(), None)]);
    assert_eq!(conditions(object(json!({})), &feedback), None);
    let joined = conditions(global(), &feedback).unwrap();
    assert_eq!(
        (joined.status, joined.reason.as_str()),
        (ConditionStatus::True, "Joined")
    );
    assert!(
        joined.message.ends_with("east, north"),
        "{}",
        joined.message
    );
    feedback
        .clusters
        .insert("north".to_owned(), Some("away".to_owned()));
    let problems = BTreeMap::from([("east".to_owned(), "no port".to_owned())]);
    let name: Arc<str> = "default/web:80".into();
    assert!(feedback.note_clusters(&name, problems.clone()));
    assert!(!feedback.note_clusters(&name, problems));
    let joined = conditions(global(), &feedback).unwrap();
    assert_eq!(joined.message, "north: away; east, port 80: no port");
    assert!(feedback.note_clusters(&name, BTreeMap::new()));
    // A Service that loses its label loses the condition.
    let mut object = object(json!({}));
    let report = plan(&service(object.clone()), &config("")).report(&feedback);
    let mut kept: Vec<_> = report.conditions.clone();
    kept.push(joined);
    object["status"] = json!({"loadBalancer": {"ingress": report.ingress}, "conditions": kept});
    assert!(!report.is_written(&service(object)));
}

#[test]
fn the_status_is_written_once() {
    let mut object = object(json!({}));
    let first = plan(&service(object.clone()), &config("")).report(&Feedback::default());
    assert!(!first.is_written(&service(object.clone())));
    object["status"] =
        json!({"loadBalancer": {"ingress": first.ingress}, "conditions": first.conditions});
    // Later, and among the conditions of other programs.
    object["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "Other", "status": "True"}));
    for condition in object["status"]["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!("2026-01-02T00:00:00Z");
    }
    let again = plan(&service(object.clone()), &config("")).report(&Feedback::default());
    assert!(again.is_written(&service(object)));
}

#[test]
fn the_status_keeps_the_address() {
    let mut object = object(json!({}));
    object["status"]["loadBalancer"] = json!({"ingress": [{"ip": "192.0.2.7", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]});
    let planned = plan(&service(object.clone()), &config(""));
    assert_eq!(
        planned.grant.addresses,
        ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]
    );
    // Status of other programs is no claim to an address.
    for ingress in [
        json!([{"hostname": "a.example"}]),
        json!([{"ip": "10.0.0.1"}]),
        json!([{"ip": "nonsense"}]),
        json!(null),
    ] {
        object["status"]["loadBalancer"] = json!({"ingress": ingress});
        let planned = plan(&service(object.clone()), &config(""));
        assert_eq!(
            planned.grant.addresses,
            ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]
        );
    }
}

#[test]
fn a_requested_address_must_be_of_a_pool() {
    let planned = plan(&annotated("addresses", "192.0.2.5, 192.0.2.6"), &config(""));
    assert_eq!(planned.plan.listeners().len(), 2);
    let field = |ip: &str| plan(&service(object(json!({"loadBalancerIP": ip}))), &config(""));
    assert!(field("192.0.2.8").text().starts_with("listen 192.0.2.8:80"));
    let stolen = field("10.96.0.1");
    assert!(stolen.plan.listeners().is_empty());
    assert_eq!(
        stolen.condition("AddressAssigned").2,
        "the requested address 10.96.0.1 is in no pool"
    );
    let nonsense = field("first");
    assert!(nonsense.text().starts_with("listen 192.0.2.1:80"));
    assert_eq!(
        nonsense.condition("SettingsValid").2,
        "spec.loadBalancerIP: \"first\" is no IP address"
    );
}

#[test]
fn a_service_that_prefers_dual_stack_has_the_families_that_the_pools_have() {
    for (policy, expected) in [
        ("PreferDualStack", "Assigned"),
        ("RequireDualStack", "AddressMissing"),
    ] {
        let spec = json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy});
        let planned = plan(&service(object(spec)), &config(""));
        assert_eq!(planned.grant.addresses.len(), 1);
        let (_, reason, _) = planned.condition("AddressAssigned");
        assert_eq!(reason, expected, "{policy}");
    }
}

#[test]
fn source_ranges_admit_only_what_they_name() {
    let ranges = |ranges: Value| {
        plan(
            &service(object(json!({"loadBalancerSourceRanges": ranges}))),
            &config(""),
        )
    };
    assert!(
        ranges(json!([" 10.0.0.0/8 ", "2001:db8::/32"]))
            .text()
            .contains("default/web:80, only from 10.0.0.0/8 2001:db8::/32\n")
    );
    let invalid = ranges(json!(["10.0.0.0/40"]));
    assert!(
        invalid.text().contains(", only from \n"),
        "{}",
        invalid.text()
    );
    assert!(
        invalid
            .condition("SettingsValid")
            .2
            .contains("\"10.0.0.0/40\" is no network, and admits no client")
    );
    assert!(!ranges(json!([])).text().contains("only from"));
}

#[test]
fn client_ip_affinity_is_a_hash() {
    let affine = json!({"sessionAffinity": "ClientIP"});
    assert!(
        plan(&service(object(affine.clone())), &config(""))
            .text()
            .contains("policy maglev")
    );
    let with = |policy: &str| {
        let mut object = object(affine.clone());
        object["metadata"]["annotations"][qualified("policy")] = json!(policy);
        plan(&service(object), &config(""))
    };
    assert!(with("ketama").text().contains("policy ketama"));
    let contradicting = with("least_conn");
    assert!(contradicting.text().contains("policy maglev"));
    assert!(
        contradicting
            .condition("SettingsValid")
            .2
            .contains("sessionAffinity is ClientIP: maglev is used")
    );
}

#[test]
fn ports_above_the_limit_are_not_served() {
    let ports: Vec<_> = (1..=65535)
        .map(|port| json!({"name": format!("p{port}"), "port": port}))
        .collect();
    let planned = plan(
        &service(object(json!({"ports": ports}))),
        &config("max_ports: 128"),
    );
    assert_eq!(planned.plan.listeners().len(), 128);
    let report = planned.report(&Feedback::default());
    assert_eq!(report.ingress[0].ports.len(), 128);
    let (_, reason, message) = planned.condition("Serving");
    assert_eq!(reason, "TooManyPorts");
    assert!(
        message.starts_with("port 129 is above the limit of 128 ports a Service")
            && message.len() < 1100
    );
}

#[test]
fn every_annotation_has_an_effect() {
    let values = [
        ("addresses", "192.0.2.9"),
        ("pool", "edge"),
        ("backends", "nodes"),
        ("policy", "p2c"),
        ("proxy-protocol", "v2"),
        ("connect-timeout", "2s"),
        ("connect-tries", "3"),
        ("idle-timeout", "off"),
        ("client-sessions", "10"),
        ("client-rate", "5"),
        ("health-check", "http:/ready?x=1"),
        ("health-check-interval", "3s"),
        ("drain", "1m"),
        ("port-drain", "2m"),
    ];
    let names: Vec<_> = ALL.iter().map(|annotation| annotation.name).collect();
    assert_eq!(names, values.map(|(name, _)| name));
    let all = values.map(|(name, value)| (qualified(name), value.to_owned()));
    let (settings, problems) = annotations::read(&all.into_iter().collect(), None);
    assert!(problems.is_empty(), "{problems:?}");
    for (name, value) in values {
        let only = BTreeMap::from([(qualified(name), value.to_owned())]);
        let (one, _) = annotations::read(&only, None);
        assert_ne!(one, ServiceSettings::default(), "{name}");
        // The last valid value stays when it becomes invalid.
        let invalid = BTreeMap::from([(qualified(name), "é é".to_owned())]);
        let (kept, problems) = annotations::read(&invalid, Some(&one));
        if name != "pool" {
            assert_eq!((kept, problems.len()), (one, 1), "{name}");
            assert_eq!(
                annotations::read(&invalid, None).0,
                ServiceSettings::default(),
                "{name}"
            );
        }
    }
    assert_eq!(settings.reach, Some(Reach::Nodes));
    assert_eq!(settings.proxy_header, Some(ProxyHeader::V2));
    assert_eq!(
        settings.drain,
        Some(DrainPlan::Within(Duration::from_secs(60)))
    );
    let mut object = object(json!({}));
    for (name, value) in values {
        object["metadata"]["annotations"][qualified(name)] = json!(value);
    }
    let text = plan(&service(object), &config("")).text();
    assert_eq!(
        text,
        "listen 192.0.2.9:80 for Service default/web, port 80 (http): default/web:80, 10 sessions a client, 5 connections a second and client\n\
         upstream default/web:80 the nodes of default/web:80, policy p2c, PROXY protocol version 2, checked by GET /ready?x=1 every 3s, \
         sessions of removed backends end within 60s\n"
    );
}

#[test]
fn invalid_annotations_are_reported_and_other_prefixes_ignored() {
    let problem = |name: &str, value: &str| {
        plan(&annotated(name, value), &config(""))
            .condition("SettingsValid")
            .2
    };
    for (name, value, expected) in [
        (
            "policy",
            "fastest",
            "kube-lb.internal/policy: no policy is called \"fastest\": use one of",
        ),
        ("proxy-protocol", "3", "\"3\" is not valid: write v1 or v2"),
        ("idle-timeout", "soon", "\"soon\" is no time"),
        (
            "client-rate",
            "0",
            "\"0\" is not valid: write a whole number above zero",
        ),
        ("health-check", "http:ready", "cannot be asked for"),
        ("health-check", "udp", "write tcp or http:/PATH"),
        (
            "addresses",
            "edge",
            "\"edge\" is not valid: write an IP address",
        ),
        (
            "adresses",
            "192.0.2.1",
            "there is no such annotation; there are addresses, pool,",
        ),
    ] {
        let problem = problem(name, value);
        assert!(problem.contains(expected), "{problem}");
    }
    let long = problem("policy", &"x".repeat(1_000_000));
    assert!(long.len() < 1100);
    let mut object = object(json!({}));
    object["metadata"]["annotations"]["metallb.io/address-pool"] = json!("x");
    object["metadata"]["annotations"][format!("{DOMAIN}.example/policy")] = json!("x");
    assert_eq!(
        plan(&service(object), &config(""))
            .condition("SettingsValid")
            .0,
        ConditionStatus::True
    );
}

#[test]
fn the_last_valid_settings_survive_a_typing_error() {
    let config = config("");
    let mut services = ReadServices::default();
    let mut read = |service: Arc<Service>| {
        services
            .read([&service].into_iter(), ServiceRules(&config))
            .remove(0)
    };
    assert_eq!(
        read(annotated("proxy-protocol", "v1"))
            .settings
            .proxy_header,
        Some(ProxyHeader::V1)
    );
    assert_eq!(
        read(annotated("proxy-protocol", "v3"))
            .settings
            .proxy_header,
        Some(ProxyHeader::V1)
    );
    assert_eq!(
        read(annotated("proxy-protocol", "4")).settings.proxy_header,
        Some(ProxyHeader::V1)
    );
    assert_eq!(read(service(object(json!({})))).settings.proxy_header, None);
}

#[test]
fn hostile_objects_are_read() {
    for (field, value) in [
        ("ports", json!(null)),
        ("ports", json!([{"port": 0}])),
        ("ports", json!([{"port": 70000}])),
        ("ports", json!([{"port": -1, "name": null}])),
        ("ipFamilies", json!(["IPv5"])),
        ("ipFamilies", json!(null)),
        ("selector", json!(null)),
        ("loadBalancerSourceRanges", json!(null)),
    ] {
        let planned = plan(&service(object(json!({field: value}))), &config(""));
        planned.report(&Feedback::default());
    }
    let mut bare = object(json!({}));
    bare["status"] = json!(null);
    bare["metadata"]["annotations"] = json!(null);
    assert_eq!(plan(&service(bare), &config("")).plan.listeners().len(), 1);
    let owner = Owner::service("default", "web");
    assert_eq!(owner.to_string(), "Service default/web");
}

#[test]
fn a_megabyte_of_annotations_makes_a_short_report() {
    let mut unknown = object(json!({}));
    for i in 0..10_000 {
        unknown["metadata"]["annotations"]
            [qualified(&format!("unknown-{i:05}-{}", "x".repeat(80)))] = json!("value");
    }
    let planned = plan(&service(unknown), &config(""));
    assert_eq!(planned.planned.problems.len(), 10_000);
    let lines: Vec<_> = planned.planned.problems.lines().collect();
    assert_eq!(lines.len(), 17);
    assert_eq!(lines[16], "and 9984 more");
    let (_, _, message) = planned.condition("SettingsValid");
    assert!(message.len() <= 1027, "{}", message.len());
    let mut long = object(json!({"loadBalancerIP": "x".repeat(1 << 20)}));
    for annotation in ALL {
        long["metadata"]["annotations"][qualified(annotation.name)] = json!("9".repeat(1 << 20));
    }
    let planned = plan(&service(long), &config(""));
    // One for each annotation, and the field.
    assert_eq!(planned.planned.problems.len(), ALL.len() + 1);
    assert!(planned.planned.problems.to_string().len() < 8000);
    assert_eq!(planned.planned.settings, ServiceSettings::default());
    for condition in planned.report(&Feedback::default()).conditions {
        assert!(condition.message.len() <= 1027, "{condition:?}");
    }
}

#[test]
fn times_that_would_harm_are_refused() {
    for (annotation, value) in [
        ("health-check-interval", "99ms"),
        ("idle-timeout", "4294967295h"),
        ("drain", "8761h"),
    ] {
        let planned = plan(&annotated(annotation, value), &config(""));
        assert_eq!(planned.planned.settings, ServiceSettings::default());
        assert_eq!(planned.planned.problems.len(), 1, "{annotation}");
    }
}

#[test]
fn a_service_may_request_as_many_addresses_as_a_gateway() {
    let requests = |count: u8| {
        let all: Vec<_> = (1..=count).map(|last| format!("192.0.2.{last}")).collect();
        plan(&annotated("addresses", &all.join(", ")), &config(""))
    };
    assert_eq!(requests(9).grant.addresses.len(), 9);
    assert_eq!(requests(16).planned.settings.addresses.len(), 16);
    let many = requests(17);
    assert_eq!(many.grant.addresses.len(), 1);
    let (_, reason, message) = many.condition("SettingsValid");
    assert_eq!(reason, "InvalidSetting");
    assert!(message.contains("16 addresses"), "{message}");
}

#[test]
fn of_endless_source_ranges_the_first_count_and_the_others_admit_no_client() {
    let ranges: Vec<_> = (0..5000u32)
        .map(|i| format!("{}/32", std::net::Ipv4Addr::from(0x0a00_0000 + i)))
        .collect();
    let planned = plan(
        &service(object(json!({"loadBalancerSourceRanges": ranges}))),
        &config(""),
    );
    let sources = planned.planned.sources.as_deref().unwrap();
    assert_eq!(sources.len(), 4096);
    let (_, _, message) = planned.condition("SettingsValid");
    assert!(message.ends_with("4096 admit no client"), "{message}");
}

#[test]
fn the_backends_of_a_port_depend_on_no_other_port() {
    let ports: Vec<_> = (1..=65535)
        .map(|port| json!({"name": format!("p{port}"), "port": port, "nodePort": 30000}))
        .collect();
    let many = service(object(json!({"ports": ports})));
    let one = json!([{"name": "p80", "port": 80, "nodePort": 30000}]);
    let one = service(object(json!({"ports": one})));
    assert_eq!(many.outline(80), one.outline(80));
    // What is named in the place of a port that does not exist has a limit.
    let without = service(object(json!({"ports": ports_without(443)})));
    assert!(format!("{:?}", without.outline(443)).len() < 5000);
}

fn ports_without(number: i32) -> Value {
    let ports = (1..=65535).filter(|port| *port != number);
    ports
        .map(|port| json!({"name": format!("p{port}"), "port": port}))
        .collect()
}

#[test]
fn the_table_of_the_readme_has_all_annotations() {
    let readme = include_str!("../../README.md");
    let table = annotations::table();
    assert!(readme.contains(&table), "put this into README.md:\n{table}");
}
