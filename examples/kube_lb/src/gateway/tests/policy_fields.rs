//! The targets and the fields of ConnectionPolicies, and their definition.

use serde_json::{Value, json};

use super::policies::{accepted, text, world};
use crate::gateway::policy::schema::definition;
use crate::services::annotations;

#[test]
fn targets() {
    for (rule, target, settings, expected) in [
        (
            "a Gateway",
            ("Gateway", "gw", None),
            json!({"idleTimeout": "1m"}),
            "True Accepted",
        ),
        (
            "a listener",
            ("Gateway", "gw", Some("a")),
            json!({"idleTimeout": "1m"}),
            "True Accepted",
        ),
        (
            "a ListenerSet",
            ("ListenerSet", "set", None),
            json!({"clientRate": 5}),
            "True Accepted",
        ),
        (
            "a TLSRoute",
            ("TLSRoute", "s", None),
            json!({"proxyProtocol": "v1"}),
            "True Accepted",
        ),
        (
            "no such Gateway",
            ("Gateway", "gone", None),
            json!({}),
            "False TargetNotFound",
        ),
        (
            "no such listener",
            ("Gateway", "gw", Some("z")),
            json!({}),
            "False TargetNotFound",
        ),
        (
            "no such route",
            ("TCPRoute", "gone", None),
            json!({}),
            "False TargetNotFound",
        ),
        (
            "a rule of a route",
            ("TCPRoute", "t", Some("x")),
            json!({}),
            "False Invalid",
        ),
        (
            "another kind",
            ("HTTPRoute", "t", None),
            json!({}),
            "False Invalid",
        ),
        (
            "settings of backends at a listener",
            ("Gateway", "gw", None),
            json!({"proxyProtocol": "v1"}),
            "False Invalid",
        ),
        (
            "limits of clients at a TLSRoute",
            ("TLSRoute", "s", None),
            json!({"clientRate": 5}),
            "False Invalid",
        ),
        (
            "a wrong value",
            ("Gateway", "gw", None),
            json!({"idleTimeout": "soon"}),
            "False Invalid",
        ),
        (
            "an unknown field",
            ("Gateway", "gw", None),
            json!({"speed": "high"}),
            "False Invalid",
        ),
        (
            "a field of Services alone",
            ("Gateway", "gw", None),
            json!({"pool": "x"}),
            "False Invalid",
        ),
        (
            "a wrong type",
            ("Gateway", "gw", None),
            json!({"idleTimeout": ["1m"]}),
            "False Invalid",
        ),
        (
            "a wrong network",
            ("Gateway", "gw", None),
            json!({"sourceRanges": ["x"]}),
            "False Invalid",
        ),
    ] {
        let mut world = world();
        world.policy("p", 1, &[target], settings);
        let outcome = world.outcome();
        assert_eq!(
            accepted(&outcome, "p"),
            expected,
            "{rule}: {}",
            text(&outcome, "p")
        );
    }
}

#[test]
fn the_definition_has_every_setting() {
    let definition: Value = serde_saphyr::from_str(&definition()).unwrap();
    let version = &definition["spec"]["versions"][0];
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let mut fields: Vec<&String> = spec.as_object().unwrap().keys().collect();
    fields.sort();
    let of_services_alone = ["addresses", "pool"];
    let settings = annotations::ALL
        .iter()
        .filter(|one| !of_services_alone.contains(&one.name));
    assert_eq!(
        fields.len(),
        settings.count() + ["sourceRanges", "targetRefs"].len()
    );
    // Every field can be read.
    for field in fields
        .iter()
        .filter(|field| !["sourceRanges", "targetRefs"].contains(&field.as_str()))
    {
        let number = spec[field.as_str()]["type"] == "integer";
        let values = match number {
            true => vec![json!(3)],
            false => ["5s", "tcp", "v1", "maglev", "pods"]
                .map(Value::from)
                .to_vec(),
        };
        let is_read = values.into_iter().any(|value| {
            let mut world = world();
            world.policy(
                "p",
                1,
                &[("TCPRoute", "t", None)],
                json!({field.as_str(): value}),
            );
            accepted(&world.outcome(), "p") == "True Accepted"
        });
        assert!(is_read, "{field}");
    }
}

#[test]
fn the_definition_is_the_file_beside_the_manifests() {
    let file = include_str!("../../../deploy/connection-policy.yaml");
    assert!(
        file == definition(),
        "put the output of `kube_lb policy-crd` into deploy/connection-policy.yaml"
    );
}
