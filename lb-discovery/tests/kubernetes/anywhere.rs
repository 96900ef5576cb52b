//! What holds against any API server: ours, and a real one where `LB_TEST_KUBECONFIG` names a kubeconfig.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use lb_discovery::kubernetes::{Cluster, EndpointSlices};
use serde_json::{Value, json};

use crate::objects::{endpoint, service, slice, with_condition};
use crate::run::Running;
use crate::sources::{Api, run, shown, until, until_error};

/// A namespace of some cluster.
enum Place {
    Ours(Api),
    Real(Real),
}

struct Real {
    kubeconfig: PathBuf,
    client: kube::Client,
    namespace: String,
}

impl Real {
    async fn open(kubeconfig: PathBuf) -> Self {
        let file = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = kube::Config::try_from(file).unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let namespaces: kube::Api<Namespace> = kube::Api::all(client.clone());
        let wanted = json!({"metadata": {"generateName": "lb-test-"}});
        let wanted = serde_json::from_value(wanted).unwrap();
        let made = namespaces.create(&PostParams::default(), &wanted).await;
        Self {
            kubeconfig,
            namespace: made.unwrap().metadata.name.unwrap(),
            client,
        }
    }

    async fn close(&self) {
        let namespaces: kube::Api<Namespace> = kube::Api::all(self.client.clone());
        let params = DeleteParams::default();
        namespaces.delete(&self.namespace, &params).await.unwrap();
    }

    fn api<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        kube::Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl Place {
    async fn ours() -> Self {
        Self::Ours(Api::start().await)
    }

    fn source(&self) -> EndpointSlices {
        match self {
            Self::Ours(api) => api.slices(),
            Self::Real(real) => {
                let cluster = Cluster::kubeconfig(&real.kubeconfig);
                EndpointSlices::new(cluster, &real.namespace, "echo").unwrap()
            }
        }
    }

    fn namespace(&self) -> &str {
        match self {
            Self::Ours(_) => "default",
            Self::Real(real) => &real.namespace,
        }
    }

    fn run(&self) -> Running {
        run(self.source())
    }

    async fn put_slice(&self, name: &str, endpoints: &[Value]) {
        let mut slice = slice(name, endpoints);
        match self {
            Self::Ours(api) => api.server.put("endpointslices", slice),
            Self::Real(real) => {
                slice["metadata"]["namespace"] = json!(real.namespace);
                let params = PatchParams::apply("lb-test").force();
                let slices = real.api::<EndpointSlice>();
                slices
                    .patch(name, &params, &Patch::Apply(slice))
                    .await
                    .unwrap();
            }
        }
    }

    async fn delete_slice(&self, name: &str) {
        match self {
            Self::Ours(api) => api.server.delete("endpointslices", "default", name),
            Self::Real(real) => {
                let slices = real.api::<EndpointSlice>();
                slices.delete(name, &DeleteParams::default()).await.unwrap();
            }
        }
    }

    /// The Service, without a node port, which may be taken.
    async fn put_service(&self) {
        let mut service = service("Cluster");
        let spec = &mut service["spec"];
        spec["type"] = json!("ClusterIP");
        for field in ["externalTrafficPolicy", "ipFamilies"] {
            spec.as_object_mut().unwrap().remove(field);
        }
        spec["ports"][0].as_object_mut().unwrap().remove("nodePort");
        match self {
            Self::Ours(api) => api.server.put("services", service),
            Self::Real(real) => {
                service["metadata"]["namespace"] = json!(real.namespace);
                let params = PatchParams::apply("lb-test").force();
                let services = real.api::<Service>();
                services
                    .patch("echo", &params, &Patch::Apply(service))
                    .await
                    .unwrap();
            }
        }
    }
}

async fn slices_are_joined_and_followed(place: &Place) {
    place
        .put_slice(
            "echo-a",
            &[endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")],
        )
        .await;
    // The second slice has an endpoint of the first as well.
    place
        .put_slice(
            "echo-b",
            &[endpoint("10.0.0.3", "c"), endpoint("10.0.0.2", "b")],
        )
        .await;
    let mut running = place.run();
    let set = running.next().await;
    assert_eq!(
        shown(&set),
        ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
    );
    let first = set.iter().next().unwrap();
    assert_eq!(first.name.as_deref(), Some("a"));
    assert_eq!(first.instance.as_deref(), Some("uid-a"));
    assert_eq!(first.node.as_deref(), Some("node-1"));
    assert_eq!(first.zone.as_deref(), Some("zone-a"));
    let source = format!("kubernetes:{}/echo@", place.namespace());
    assert!(first.source.as_ref().unwrap().starts_with(&source));

    let ending = with_condition(endpoint("10.0.0.1", "a"), false, true, true);
    place.put_slice("echo-a", &[ending]).await;
    until(
        &mut running,
        &["10.0.0.1:8080 (drain)", "10.0.0.2:8080", "10.0.0.3:8080"],
    )
    .await;
    place.delete_slice("echo-a").await;
    until(&mut running, &["10.0.0.2:8080", "10.0.0.3:8080"]).await;
    if let Place::Ours(api) = place {
        assert_eq!(api.server.lists(), 1, "changes are watched, not listed");
    }
}

async fn a_port_by_number_is_the_services(place: &Place) {
    place.put_service().await;
    place
        .put_slice("echo-a", &[endpoint("10.0.0.1", "a")])
        .await;
    let mut running = run(place.source().port(80));
    until(&mut running, &["10.0.0.1:8080"]).await;
}

async fn a_port_that_is_not_there_is_named_with_those_that_are(place: &Place) {
    place
        .put_slice("echo-a", &[endpoint("10.0.0.1", "a")])
        .await;
    let running = run(place.source().port("http"));
    until_error(
        &running,
        "no endpoint has a TCP port \"http\", they have: 8080 (\"echo\")",
    )
    .await;
}

async fn a_service_is_scaled_to_nothing_and_back(place: &Place) {
    place
        .put_slice("echo-a", &[endpoint("10.0.0.1", "a")])
        .await;
    let mut running = place.run();
    until(&mut running, &["10.0.0.1:8080"]).await;
    place.put_slice("echo-a", &[]).await;
    until(&mut running, &[]).await;
    place
        .put_slice("echo-a", &[endpoint("10.0.0.9", "z")])
        .await;
    until(&mut running, &["10.0.0.9:8080"]).await;
    assert_eq!(running.handle.status().sources[0].failures, 0);
}

async fn a_service_that_does_not_exist_is_not_found_and_then_found(place: &Place) {
    let mut running = place.run();
    let missing = format!(
        "watching endpointslices of {}/echo at http",
        place.namespace()
    );
    until_error(&running, &missing).await;
    until_error(&running, ": no EndpointSlice, so no such Service").await;
    place
        .put_slice("echo-a", &[endpoint("10.0.0.1", "a")])
        .await;
    until(&mut running, &["10.0.0.1:8080"]).await;
}

/// Each of the above: against our server, and as one of a list.
macro_rules! anywhere {
    ($($check:ident)*) => {
        mod ours {
            $(#[tokio::test]
            async fn $check() {
                super::$check(&super::Place::ours().await).await;
            })*
        }

        #[tokio::test]
        async fn a_real_cluster() {
            let Some(kubeconfig) = std::env::var_os("LB_TEST_KUBECONFIG") else {
                eprintln!("skipped: LB_TEST_KUBECONFIG does not name the kubeconfig of a cluster");
                return;
            };
            $({
                let place = Place::Real(Real::open(kubeconfig.clone().into()).await);
                let done = AssertUnwindSafe($check(&place)).catch_unwind().await;
                let Place::Real(real) = &place else { unreachable!("opened above") };
                real.close().await;
                done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            })*
        }
    };
}

anywhere! {
    slices_are_joined_and_followed
    a_port_by_number_is_the_services
    a_port_that_is_not_there_is_named_with_those_that_are
    a_service_is_scaled_to_nothing_and_back
    a_service_that_does_not_exist_is_not_found_and_then_found
}
