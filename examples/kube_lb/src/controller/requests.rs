//! The requests that write, and the permissions that they need.

use lb_discovery::kubernetes::controller::{ApiMethod, ApiRequest, Metadata};
use serde_json::{Value, json};

use crate::addresses::Owner;
use crate::gateway::StatusPatch;
use crate::names::{FIELD_MANAGER, FINALIZER};
use crate::services::ServiceReport;

/// A permission that the program needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission {
    /// The API group. Empty: the core group.
    pub group: &'static str,
    /// The plural name of the kind, or a part of it such as `services/status`.
    pub resource: &'static str,
    /// What is done.
    pub verbs: &'static [&'static str],
    /// Where.
    pub scope: PermissionScope,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// Where a permission is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PermissionScope {
    /// In all namespaces.
    Cluster,
    /// In the namespace of the Lease.
    LeaseNamespace,
}

macro_rules! permissions {
    ($(#[$doc:meta])* $table:ident: $($group:literal $resource:literal [$($verb:literal)*] $scope:ident $purpose:literal;)*) => {
        $(#[$doc])*
        pub const $table: &[Permission] = &[$(Permission {
            group: $group,
            resource: $resource,
            verbs: &[$($verb),*],
            scope: PermissionScope::$scope,
            purpose: $purpose,
        },)*];
    };
}

permissions! {
    /// All permissions in the primary cluster. Every request of the program is covered by one of them, and none is wider than what
    /// is asked.
    PERMISSIONS:
    "" "services" ["list" "watch" "patch"] Cluster "which Services to serve; their finalizer";
    "" "services/status" ["patch"] Cluster "their addresses and conditions";
    "discovery.k8s.io" "endpointslices" ["list" "watch"] Cluster "their pods";
    "" "nodes" ["list" "watch"] Cluster "the nodes, where a Service is served through node ports";
    "" "namespaces" ["list" "watch"] Cluster "the labels that selectors of Gateways select";
    "apiextensions.k8s.io" "customresourcedefinitions" ["get"] Cluster "whether the cluster has the kinds of the Gateway API, and of which release";
    "gateway.networking.k8s.io" "gatewayclasses" ["list" "watch"] Cluster "which classes are this program's";
    "gateway.networking.k8s.io" "gateways" ["list" "watch"] Cluster "what to listen on";
    "gateway.networking.k8s.io" "listenersets" ["list" "watch"] Cluster "more listeners of Gateways";
    "gateway.networking.k8s.io" "tcproutes" ["list" "watch"] Cluster "where connections go";
    "gateway.networking.k8s.io" "tlsroutes" ["list" "watch"] Cluster "where connections go, by server name";
    "gateway.networking.k8s.io" "referencegrants" ["list" "watch"] Cluster "which Services routes of other namespaces may name";
    "gateway.networking.k8s.io" "gatewayclasses/status" ["patch"] Cluster "their conditions and features";
    "gateway.networking.k8s.io" "gateways/status" ["patch"] Cluster "their addresses and conditions";
    "gateway.networking.k8s.io" "listenersets/status" ["patch"] Cluster "their conditions";
    "gateway.networking.k8s.io" "tcproutes/status" ["patch"] Cluster "their conditions";
    "gateway.networking.k8s.io" "tlsroutes/status" ["patch"] Cluster "their conditions";
    "kube-lb.internal" "connectionpolicies" ["list" "watch"] Cluster "settings of listeners and routes";
    "kube-lb.internal" "connectionpolicies/status" ["patch"] Cluster "their conditions";
    "events.k8s.io" "events" ["create"] Cluster "Events about these objects";
    "coordination.k8s.io" "leases" ["get" "create" "update"] LeaseNamespace "which replica writes";
}

permissions! {
    /// All permissions in another cluster, in which nothing is written.
    REMOTE_PERMISSIONS:
    "" "services" ["list" "watch"] Cluster "which Services add endpoints to those of the primary cluster";
    "discovery.k8s.io" "endpointslices" ["list" "watch"] Cluster "their pods";
    "" "nodes" ["list" "watch"] Cluster "the nodes, where a Service is served through node ports";
}

const APPLY: ApiMethod = ApiMethod::Patch("application/apply-patch+yaml");
const MERGE: ApiMethod = ApiMethod::Patch("application/merge-patch+json");
const STRATEGIC: ApiMethod = ApiMethod::Patch("application/strategic-merge-patch+json");

/// What identifies an object in a request: a write fails if the object was replaced or changed since.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) owner: Owner,
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
}

impl Target {
    pub(super) fn service(metadata: &Metadata) -> Self {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        Self {
            owner: Owner::service(namespace, metadata.name.clone()),
            uid: metadata.uid.clone(),
            version: metadata.resource_version.clone(),
        }
    }

    fn path(&self) -> String {
        let Owner {
            namespace, name, ..
        } = &self.owner;
        format!("/api/v1/namespaces/{namespace}/services/{name}")
    }

    fn metadata(&self) -> Value {
        json!({"name": self.owner.name, "namespace": self.owner.namespace, "uid": self.uid, "resourceVersion": self.version})
    }

    /// Applies the status, which replaces what the field manager has applied before.
    fn apply_status(&self, status: &Value, force: bool) -> ApiRequest {
        let path = self.path();
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": self.metadata(), "status": status});
        let query = format!("fieldManager={FIELD_MANAGER}&force={force}");
        ApiRequest::new(APPLY, format!("{path}/status?{query}")).body(object.to_string())
    }

    /// Applies `report`. Without `force` the server refuses it while another program owns a field.
    pub(super) fn report(&self, report: &ServiceReport, force: bool) -> ApiRequest {
        let ServiceReport {
            ingress,
            conditions,
            ..
        } = report;
        let status = json!({"loadBalancer": {"ingress": ingress}, "conditions": conditions});
        self.apply_status(&status, force)
    }

    /// Removes everything that was applied to the status.
    pub(super) fn clear_status(&self) -> ApiRequest {
        self.apply_status(&json!({}), false)
    }

    /// Adds the finalizer beside those of other programs.
    pub(super) fn add_finalizer(&self) -> ApiRequest {
        self.patch_metadata("finalizers")
    }

    /// Removes the finalizer and leaves those of other programs.
    pub(super) fn remove_finalizer(&self) -> ApiRequest {
        self.patch_metadata("$deleteFromPrimitiveList/finalizers")
    }

    fn patch_metadata(&self, field: &str) -> ApiRequest {
        let mut metadata = self.metadata();
        metadata[field] = json!([FINALIZER]);
        let path = format!("{}?fieldManager={FIELD_MANAGER}", self.path());
        ApiRequest::new(STRATEGIC, path).body(json!({"metadata": metadata}).to_string())
    }
}

/// Writes a status of the Gateway API, for the version of the object that it was computed from.
pub(super) fn patch_status(patch: &StatusPatch) -> ApiRequest {
    let path = format!("{}?fieldManager={FIELD_MANAGER}", patch.path());
    ApiRequest::new(MERGE, path).body(patch.body.to_string())
}

/// Creates an Event.
pub(super) fn create_event(namespace: &str, event: &Value) -> ApiRequest {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    ApiRequest::new(
        ApiMethod::Post,
        format!("{path}?fieldManager={FIELD_MANAGER}"),
    )
    .body(event.to_string())
}

/// Reads, creates or replaces the Lease `name`.
pub(super) fn lease(
    method: ApiMethod,
    namespace: &str,
    name: &str,
    lease: Option<&Value>,
) -> ApiRequest {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let path = match method {
        ApiMethod::Post => format!("{path}?fieldManager={FIELD_MANAGER}"),
        _ => format!("{path}/{name}"),
    };
    let request = ApiRequest::new(method, path);
    match lease {
        Some(lease) => request.body(lease.to_string()),
        None => request,
    }
}
