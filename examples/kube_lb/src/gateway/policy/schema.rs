//! The definition of the kind ConnectionPolicy.

use super::object::{PLURAL, VERSION};
use super::settings::{NUMBERS, OF_BACKENDS, OF_LISTENERS, SOURCE_RANGES, field_of};
use crate::names::DOMAIN;
use crate::services::annotations;

/// The definition as YAML, as `kube_lb policy-crd` prints it.
pub fn definition() -> String {
    let mut yaml = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {PLURAL}.{DOMAIN}
  labels:
    gateway.networking.k8s.io/policy: Direct
spec:
  group: {DOMAIN}
  names: {{kind: ConnectionPolicy, listKind: ConnectionPolicyList, plural: {PLURAL}, singular: connectionpolicy}}
  scope: Namespaced
  versions:
  - name: {VERSION}
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [targetRefs]
            properties:
{TARGET_REFS}"
    );
    let mut fields: Vec<_> = OF_BACKENDS.iter().chain(&OF_LISTENERS).collect();
    fields.sort_unstable();
    for name in fields {
        let known = annotations::ALL.iter().find(|known| known.name == *name);
        let description = known.map_or("", |known| known.meaning).replace('\'', "''");
        let values = known.map_or("", |known| known.values).replace('\'', "''");
        let type_ = match NUMBERS.contains(name) {
            true => {
                "type: integer\n                minimum: 1\n                maximum: 4294967295"
            }
            false => "type: string\n                minLength: 1\n                maxLength: 253",
        };
        yaml += &format!(
            "              {}:\n                {type_}\n                description: '{description} Values: {values}.'\n",
            field_of(name)
        );
    }
    yaml += &format!(
        "              {SOURCE_RANGES}:
                type: array
                maxItems: 256
                items: {{type: string, minLength: 1, maxLength: 49}}
                description: 'Serves the clients of these networks only.'
{STATUS}"
    );
    yaml
}

const TARGET_REFS: &str = "              targetRefs:
                type: array
                minItems: 1
                maxItems: 16
                description: 'Gateways, ListenerSets, listeners of these (sectionName), TCPRoutes and TLSRoutes of the namespace.'
                items:
                  type: object
                  required: [group, kind, name]
                  properties:
                    group: {type: string, enum: [gateway.networking.k8s.io]}
                    kind: {type: string, enum: [Gateway, ListenerSet, TCPRoute, TLSRoute]}
                    name: {type: string, minLength: 1, maxLength: 253}
                    sectionName: {type: string, minLength: 1, maxLength: 253}
";

const STATUS: &str = "          status:
            type: object
            required: [ancestors]
            properties:
              ancestors:
                type: array
                maxItems: 16
                x-kubernetes-list-type: atomic
                items:
                  type: object
                  required: [ancestorRef, controllerName, conditions]
                  properties:
                    ancestorRef:
                      type: object
                      required: [name]
                      properties:
                        group: {type: string, maxLength: 253}
                        kind: {type: string, maxLength: 63}
                        namespace: {type: string, maxLength: 63}
                        name: {type: string, minLength: 1, maxLength: 253}
                        sectionName: {type: string, maxLength: 253}
                        port: {type: integer, minimum: 1, maximum: 65535}
                    controllerName: {type: string, minLength: 1, maxLength: 253}
                    conditions:
                      type: array
                      minItems: 1
                      maxItems: 8
                      x-kubernetes-list-type: map
                      x-kubernetes-list-map-keys: [type]
                      items:
                        type: object
                        required: [type, status, reason, message, lastTransitionTime]
                        properties:
                          type: {type: string, maxLength: 316}
                          status: {type: string, enum: ['True', 'False', Unknown]}
                          reason: {type: string, minLength: 1, maxLength: 1024}
                          message: {type: string, maxLength: 32768}
                          observedGeneration: {type: integer, format: int64, minimum: 0}
                          lastTransitionTime: {type: string, format: date-time}
";
