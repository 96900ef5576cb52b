//! The precedence of objects.

use lb_discovery::kubernetes::controller::Metadata;

use crate::objects::ObjectName;

/// Orders objects as Gateway API does: the oldest first, then by the text `namespace/name`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Precedence {
    /// An object that the API server has not dated is the youngest.
    is_undated: bool,
    /// Texts in the form of the API sort by time.
    created: Option<String>,
    text: String,
}

impl Precedence {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let created = metadata.creation_timestamp.clone();
        Self {
            is_undated: created.is_none(),
            created,
            text: ObjectName::of(metadata).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(namespace: &str, name: &str, second: Option<u8>) -> Precedence {
        let created = second.map(|second| format!("2026-01-01T00:00:0{second}Z"));
        let metadata = json!({"namespace": namespace, "name": name, "creationTimestamp": created});
        Precedence::of(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn the_oldest_precedes_and_then_the_text_of_namespace_and_name_decides() {
        let in_order = [
            object("z", "z", Some(1)),
            // '-' is before '/', so the texts are in another order than the namespaces.
            object("a-b", "x", Some(2)),
            object("a", "x", Some(2)),
            object("a", "y", Some(2)),
            object("a", "a", None),
        ];
        assert!(in_order.is_sorted(), "{in_order:?}");
    }
}
