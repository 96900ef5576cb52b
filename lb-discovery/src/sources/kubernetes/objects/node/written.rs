//! A node as the API would send it, for programs that keep it: what is read of it is the same node.

use serde::Serialize;

use super::{EXCLUDE, Node, NodeAddress, ZONE};
use crate::sources::kubernetes::controller::Metadata;

#[derive(Serialize)]
pub(crate) struct WrittenNode {
    metadata: Metadata,
    status: WrittenStatus,
}

#[derive(Serialize)]
struct WrittenStatus {
    addresses: Vec<WrittenAddress>,
    conditions: [WrittenCondition; 1],
}

#[derive(Serialize)]
struct WrittenAddress {
    #[serde(rename = "type")]
    kind: &'static str,
    address: String,
}

#[derive(Serialize)]
struct WrittenCondition {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
}

impl Node {
    /// The node with `metadata`, which has no labels.
    pub(crate) fn written(&self, mut metadata: Metadata) -> WrittenNode {
        let mut label = |name: &str, value: &str| {
            metadata.labels.insert(name.to_owned(), value.to_owned());
        };
        if let Some(zone) = &self.zone {
            label(ZONE, zone);
        }
        if self.is_excluded {
            label(EXCLUDE, "");
        }
        let addresses = self.addresses.iter().map(|(kind, ip)| WrittenAddress {
            kind: match kind {
                NodeAddress::External => "ExternalIP",
                NodeAddress::Internal => "InternalIP",
            },
            address: ip.to_string(),
        });
        WrittenNode {
            metadata,
            status: WrittenStatus {
                addresses: addresses.collect(),
                conditions: [WrittenCondition {
                    kind: "Ready",
                    status: if self.is_ready { "True" } else { "False" },
                }],
            },
        }
    }
}
