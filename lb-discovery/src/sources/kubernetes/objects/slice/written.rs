//! A slice as the API would send it, for programs that keep it: what is read of it is the same slice.

use serde::Serialize;

use super::{OF_SELECTOR, Slice, SliceEndpoint};
use crate::ip_family::IpFamily;
use crate::sources::kubernetes::controller::Metadata;
use crate::sources::kubernetes::objects::condition::Condition;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WrittenSlice<'a> {
    metadata: Metadata,
    address_type: &'static str,
    ports: Vec<WrittenPort<'a>>,
    endpoints: Vec<WrittenEndpoint<'a>>,
}

#[derive(Serialize)]
struct WrittenPort<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<i32>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEndpoint<'a> {
    addresses: Vec<String>,
    conditions: WrittenConditions,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_ref: Option<WrittenTarget<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<WrittenHints<'a>>,
}

#[derive(Default, Serialize)]
struct WrittenConditions {
    ready: bool,
    serving: bool,
    terminating: bool,
}

#[derive(Serialize)]
struct WrittenTarget<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenHints<'a> {
    for_zones: Vec<WrittenZone<'a>>,
}

#[derive(Serialize)]
struct WrittenZone<'a> {
    name: &'a str,
}

impl Slice {
    /// The slice with `metadata`, which has only those of its labels that the slice does not read.
    pub(crate) fn written(&self, mut metadata: Metadata) -> WrittenSlice<'_> {
        if self.is_of_selector {
            let (label, value) = OF_SELECTOR;
            metadata.labels.insert(label.to_owned(), value.to_owned());
        }
        let mut endpoints: Vec<_> = self.endpoints.iter().map(SliceEndpoint::written).collect();
        if endpoints.is_empty() && !self.is_vacant {
            // None of them has an address.
            endpoints.push(WrittenEndpoint::default());
        }
        WrittenSlice {
            metadata,
            address_type: match self.family {
                Some(IpFamily::V4) => "IPv4",
                Some(IpFamily::V6) => "IPv6",
                None => "FQDN",
            },
            ports: self
                .ports
                .iter()
                .map(|(name, port)| WrittenPort { name, port: *port })
                .collect(),
            endpoints,
        }
    }
}

impl SliceEndpoint {
    fn written(&self) -> WrittenEndpoint<'_> {
        let (name, uid) = (self.pod.as_deref(), self.uid.as_deref());
        let is_pod = name.is_some() || uid.is_some();
        let zones = self.for_zones.iter().map(|name| WrittenZone { name });
        let hints = WrittenHints {
            for_zones: zones.collect(),
        };
        WrittenEndpoint {
            addresses: vec![self.ip.to_string()],
            conditions: WrittenConditions {
                ready: self.condition == Condition::Ready,
                serving: matches!(
                    self.condition,
                    Condition::Ready | Condition::ServingTerminating
                ),
                terminating: matches!(
                    self.condition,
                    Condition::ServingTerminating | Condition::Terminating
                ),
            },
            target_ref: is_pod.then_some(WrittenTarget {
                kind: "Pod",
                name,
                uid,
            }),
            node_name: self.node.as_deref(),
            zone: self.zone.as_deref(),
            hints: Some(hints).filter(|hints| !hints.for_zones.is_empty()),
        }
    }
}
