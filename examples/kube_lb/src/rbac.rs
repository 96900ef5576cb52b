//! The manifest of the permissions, from what the program asks.

use crate::controller::{PERMISSIONS, Permission, PermissionScope, REMOTE_PERMISSIONS};

/// The rules as YAML: a ServiceAccount, and roles with [`PERMISSIONS`] bound to it. `namespace`: of the account and of the Lease.
pub fn manifest(namespace: &str) -> String {
    let documents = [
        account(namespace),
        cluster_role(&rules(PERMISSIONS, PermissionScope::Cluster)),
        cluster_role_binding(namespace),
        format!(
            "{API}\nkind: Role\n{}\nrules:\n{}",
            metadata(namespace),
            rules(PERMISSIONS, PermissionScope::LeaseNamespace)
        ),
        format!(
            "{API}\nkind: RoleBinding\n{}\n{}\n{}\n",
            metadata(namespace),
            subjects(namespace),
            role("Role")
        ),
    ];
    documents.join("---\n")
}

/// The same for a cluster that only adds endpoints: it reads, and writes nothing.
pub fn remote_manifest(namespace: &str) -> String {
    let documents = [
        account(namespace),
        cluster_role(&rules(REMOTE_PERMISSIONS, PermissionScope::Cluster)),
        cluster_role_binding(namespace),
    ];
    documents.join("---\n")
}

const API: &str = "apiVersion: rbac.authorization.k8s.io/v1";

fn metadata(namespace: &str) -> String {
    format!("metadata: {{name: kube-lb, namespace: {namespace}}}")
}

fn subjects(namespace: &str) -> String {
    format!("subjects: [{{kind: ServiceAccount, name: kube-lb, namespace: {namespace}}}]")
}

fn role(kind: &str) -> String {
    format!("roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: kube-lb}}")
}

fn account(namespace: &str) -> String {
    let metadata = metadata(namespace);
    format!("apiVersion: v1\nkind: ServiceAccount\n{metadata}\n")
}

fn cluster_role(rules: &str) -> String {
    format!("{API}\nkind: ClusterRole\nmetadata: {{name: kube-lb}}\nrules:\n{rules}")
}

fn cluster_role_binding(namespace: &str) -> String {
    let (subjects, role) = (subjects(namespace), role("ClusterRole"));
    format!("{API}\nkind: ClusterRoleBinding\nmetadata: {{name: kube-lb}}\n{subjects}\n{role}\n")
}

fn rules(permissions: &[Permission], scope: PermissionScope) -> String {
    let needed = permissions.iter();
    let needed = needed.filter(|permission| permission.scope == scope);
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
