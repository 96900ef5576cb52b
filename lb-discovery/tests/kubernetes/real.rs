//! A namespace of a real cluster.
//!
//! Controllers watch the objects that tests create, so these are made such that no controller acts on them:
//!
//! - EndpointSlices are marked as managed by another program, and belong to a Service without a selector.
//! - Pods ask for a scheduler that does not exist, so that no kubelet takes them and their status is what the test
//!   writes. So they are on no node. A finalizer holds them while they are deleted.
//! - DaemonSets fit no node, and Deployments ask for no pods.
//! - The cluster chooses the node ports.
//!
//! Nodes cannot be created: tests use the existing ones, and compute from them what to expect. Tests that would change a
//! node or the server itself run on the in-process server only.

use std::path::PathBuf;

use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use lb_discovery::kubernetes::Cluster;
use serde_json::{Value, json};

const FINALIZER: &str = "lb-test/held";

const ACCOUNT: &str = "lb-test";

pub(crate) struct Real {
    kubeconfig: PathBuf,
    client: kube::Client,
    namespace: String,
}

impl Real {
    /// Makes a namespace.
    pub(crate) async fn open(kubeconfig: PathBuf) -> Self {
        let file = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = kube::Config::try_from(file).unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let wanted = object(json!({
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": {
                "generateName": "lb-test-",
                // The pods are in the network of their nodes.
                "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            },
        }));
        let namespaces = Api::all_with(client.clone(), &resource("namespaces"));
        let made = namespaces.create(&PostParams::default(), &wanted).await;
        let real = Self {
            kubeconfig,
            namespace: made.unwrap().metadata.name.unwrap(),
            client,
        };
        // The namespace's account is created later; until then the server refuses pods.
        let account = json!({
            "kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": ACCOUNT},
        });
        real.put("serviceaccounts", account).await;
        real
    }

    /// Deletes the namespace, whatever is in it.
    pub(crate) async fn close(&self) {
        let pods = self.api("pods");
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            self.release("pods", &pod.metadata.name.unwrap()).await;
        }
        let namespaces: Api<DynamicObject> =
            Api::all_with(self.client.clone(), &resource("namespaces"));
        let params = DeleteParams::default();
        namespaces.delete(&self.namespace, &params).await.unwrap();
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::kubeconfig(&self.kubeconfig)
    }

    /// Creates an object, or updates the mutable fields of one.
    pub(crate) async fn put(&self, resource: &str, mut wanted: Value) {
        let metadata = wanted["metadata"].as_object_mut().unwrap();
        metadata.remove("uid");
        metadata.insert("namespace".to_owned(), json!(self.namespace));
        make_uninteresting(resource, &mut wanted);
        let api = self.api(resource);
        let name = wanted["metadata"]["name"].as_str().unwrap().to_owned();
        let made = api
            .create(&PostParams::default(), &object(wanted.clone()))
            .await;
        let params = PatchParams::default();
        match made {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {
                if resource == "pods" {
                    // The spec of a pod is immutable.
                    wanted.as_object_mut().unwrap().remove("spec");
                }
                api.patch(&name, &params, &Patch::Merge(&wanted))
                    .await
                    .unwrap();
            }
            Err(error) => panic!("creating {resource}/{name}: {error}"),
        }
        if let Some(status) = wanted.get("status") {
            let status = json!({"status": status});
            api.patch_status(&name, &params, &Patch::Merge(&status))
                .await
                .unwrap();
        }
    }

    pub(crate) async fn get(&self, resource: &str, name: &str) -> Value {
        let found = self.api(resource).get(name).await.unwrap();
        serde_json::to_value(found).unwrap()
    }

    pub(crate) async fn begin_to_delete(&self, resource: &str, name: &str) {
        let params = DeleteParams::default();
        self.api(resource).delete(name, &params).await.unwrap();
    }

    /// Deletes an object, or removes the finalizer of one that is being deleted.
    pub(crate) async fn delete(&self, resource: &str, name: &str) {
        let ending = self.get(resource, name).await;
        if ending["metadata"].get("deletionTimestamp").is_none() {
            self.begin_to_delete(resource, name).await;
        }
        if ending["metadata"].get("finalizers").is_some() {
            self.release(resource, name).await;
        }
    }

    pub(crate) async fn nodes(&self) -> Vec<Value> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource("nodes"));
        let nodes = api.list(&ListParams::default()).await.unwrap();
        let nodes = nodes.into_iter();
        nodes
            .map(|node| serde_json::to_value(node).unwrap())
            .collect()
    }

    async fn release(&self, resource: &str, name: &str) {
        let without = json!({"metadata": {"finalizers": null}});
        let params = PatchParams::default();
        let api = self.api(resource);
        api.patch(name, &params, &Patch::Merge(&without))
            .await
            .unwrap();
    }

    fn api(&self, plural: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(plural))
    }
}

fn make_uninteresting(resource: &str, object: &mut Value) {
    match resource {
        "endpointslices" => {
            object["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
                json!("lb-test");
        }
        "pods" => {
            object["metadata"]["finalizers"] = json!([FINALIZER]);
            let spec = object["spec"].as_object_mut().unwrap();
            spec.remove("nodeName");
            spec.insert("schedulerName".to_owned(), json!("lb-test-none"));
            spec.insert("serviceAccountName".to_owned(), json!(ACCOUNT));
            spec.insert("automountServiceAccountToken".to_owned(), json!(false));
        }
        "services" => {
            let port = object["spec"]["ports"][0].as_object_mut().unwrap();
            port.remove("nodePort");
        }
        _ => {}
    }
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn resource(plural: &str) -> ApiResource {
    let (group, kind) = match plural {
        "daemonsets" => ("apps", "DaemonSet"),
        "deployments" => ("apps", "Deployment"),
        "endpointslices" => ("discovery.k8s.io", "EndpointSlice"),
        "namespaces" => ("", "Namespace"),
        "nodes" => ("", "Node"),
        "pods" => ("", "Pod"),
        "serviceaccounts" => ("", "ServiceAccount"),
        "services" => ("", "Service"),
        other => panic!("no test creates {other}"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
}
