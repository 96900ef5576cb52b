//! The manifest of the permissions, from what the program asks.

use crate::controller::{PERMISSIONS, Permission, PermissionScope};

/// The rules as YAML: a ServiceAccount, and roles with [`PERMISSIONS`] bound to it. `namespace`: of the account and of the Lease.
pub fn manifest(namespace: &str) -> String {
    let metadata = |name: &str| format!("metadata: {{name: {name}, namespace: {namespace}}}");
    let subjects =
        format!("subjects: [{{kind: ServiceAccount, name: kube-lb, namespace: {namespace}}}]");
    let role = |kind: &str| {
        format!("roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: kube-lb}}")
    };
    let api = "apiVersion: rbac.authorization.k8s.io/v1";
    let documents = [
        format!(
            "apiVersion: v1\nkind: ServiceAccount\n{}\n",
            metadata("kube-lb")
        ),
        format!(
            "{api}\nkind: ClusterRole\nmetadata: {{name: kube-lb}}\nrules:\n{}",
            rules(PermissionScope::Cluster)
        ),
        format!(
            "{api}\nkind: ClusterRoleBinding\nmetadata: {{name: kube-lb}}\n{subjects}\n{}\n",
            role("ClusterRole")
        ),
        format!(
            "{api}\nkind: Role\n{}\nrules:\n{}",
            metadata("kube-lb"),
            rules(PermissionScope::LeaseNamespace)
        ),
        format!(
            "{api}\nkind: RoleBinding\n{}\n{subjects}\n{}\n",
            metadata("kube-lb"),
            role("Role")
        ),
    ];
    documents.join("---\n")
}

fn rules(scope: PermissionScope) -> String {
    let needed = PERMISSIONS
        .iter()
        .filter(|permission| permission.scope == scope);
    let rules = needed.map(|permission| {
        let Permission {
            group,
            resource,
            verbs,
            purpose,
            ..
        } = permission;
        let verbs = verbs.join(", ");
        format!("  # {purpose}\n  - {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verbs}]}}\n")
    });
    rules.collect()
}
