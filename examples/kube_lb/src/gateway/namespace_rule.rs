//! From which namespaces objects may be attached.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::gateway::NamespaceRule;
use super::api::namespace::Namespace;

/// All namespaces, by name.
pub(crate) type Namespaces = BTreeMap<String, Arc<Namespace>>;

impl NamespaceRule {
    /// Whether an object in the namespace `of` may be attached to one in the namespace `to`. `default` stands for a rule that
    /// is absent. A rule that is not known, or has no selector where it needs one, admits none.
    pub(crate) fn admits(
        &self,
        of: &str,
        to: &str,
        namespaces: &Namespaces,
        default: &str,
    ) -> bool {
        match self.from.as_deref().unwrap_or(default) {
            "All" => true,
            "Same" => of == to,
            "Selector" => {
                let selector = self.selector.as_ref();
                let namespace = namespaces.get(of);
                let mut both = selector.zip(namespace).into_iter();
                both.any(|(selector, namespace)| selector.selects(&namespace.metadata.labels))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admits(rule: serde_json::Value, of: &str) -> bool {
        let rule: NamespaceRule = serde_json::from_value(rule).unwrap();
        let labelled = [
            ("own", json!({})),
            ("red", json!({"team": "red", "tier": "gold"})),
            ("blue", json!({"team": "blue"})),
        ];
        let namespaces = labelled.map(|(name, labels)| {
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            (
                name.to_owned(),
                Arc::new(serde_json::from_value(namespace).unwrap()),
            )
        });
        rule.admits(of, "own", &namespaces.into(), "Same")
    }

    #[test]
    fn rules_admit_the_namespaces_that_they_name() {
        let expression = |key: &str, operator: &str, values: &[&str]| {
            json!({"from": "Selector", "selector": {"matchExpressions": [
                {"key": key, "operator": operator, "values": values}
            ]}})
        };
        let team =
            |team: &str| json!({"from": "Selector", "selector": {"matchLabels": {"team": team}}});
        for (rule, admitted) in [
            (json!({}), &["own"][..]),
            (json!({"from": "Same"}), &["own"]),
            (json!({"from": "All"}), &["own", "red", "blue", "unknown"]),
            (json!({"from": "None"}), &[]),
            (json!({"from": "Unheard"}), &[]),
            (json!({"from": "Selector"}), &[]),
            (
                json!({"from": "Selector", "selector": {}}),
                &["own", "red", "blue"],
            ),
            (team("red"), &["red"]),
            (expression("team", "In", &["red", "green"]), &["red"]),
            (expression("team", "NotIn", &["red"]), &["own", "blue"]),
            (expression("tier", "Exists", &[]), &["red"]),
            (expression("tier", "DoesNotExist", &[]), &["own", "blue"]),
            (expression("tier", "Near", &[]), &[]),
        ] {
            for of in ["own", "red", "blue", "unknown"] {
                assert_eq!(
                    admits(rule.clone(), of),
                    admitted.contains(&of),
                    "{rule} {of}"
                );
            }
        }
    }
}
