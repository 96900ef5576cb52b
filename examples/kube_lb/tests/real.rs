//! The program against an API server that only answers requests: the one in the process, or with `LB_TEST_KUBECONFIG` that of a real
//! cluster. It touches nothing but a namespace that it makes and deletes: the class of its Services, the controller of its
//! GatewayClasses and its Lease have names that no other program serves, and addresses of the pool are loopback ones.

#![allow(clippy::print_stdout, reason = "what is skipped")]
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube_lb::config::Config;
use kube_lb::controller::Controller;
use lb_discovery::kubernetes::Cluster;
use lb_discovery::kubernetes::controller::{ApiMethod, ApiRequest, ApiRequests};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::deadline::{until, within};
use test_support::kubernetes::ApiServer;
use test_support::nodes::serve;
use test_support::streams;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const MERGE: ApiMethod = ApiMethod::Patch("application/merge-patch+json");
const REQUEST: Duration = Duration::from_secs(10);
const SERVICE: &str = "echo";

/// A namespace, and how its API server is reached.
struct Place {
    kubeconfig: PathBuf,
    requests: ApiRequests,
    namespace: String,
    /// An address of this machine that endpoints may have: API servers refuse loopback ones.
    pods: IpAddr,
    _in_process: Option<(ApiServer, TempDir)>,
}

impl Place {
    /// Makes the namespace.
    async fn open() -> Result<Self, String> {
        let real = std::env::var_os("LB_TEST_KUBECONFIG").map(PathBuf::from);
        let (kubeconfig, pods, in_process) = match real {
            Some(kubeconfig) => {
                let pods = own_address().ok_or("this machine has no address but loopback")?;
                (kubeconfig, pods, None)
            }
            None => {
                let api = ApiServer::start().await;
                let dir = tempfile::tempdir().unwrap();
                let kubeconfig = api.kubeconfig(dir.path(), "", "token: secret");
                (kubeconfig, [127, 4, 1, 1].into(), Some((api, dir)))
            }
        };
        let place = Self {
            requests: ApiRequests::new(&Cluster::kubeconfig(&kubeconfig)),
            kubeconfig,
            namespace: format!("lb-test-{}", std::process::id()),
            pods,
            _in_process: in_process,
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": place.namespace}});
        let made = place
            .ask(ApiMethod::Post, "/api/v1/namespaces", Some(namespace))
            .await;
        assert_eq!(made.0, 201, "{}", made.1);
        Ok(place)
    }

    /// Deletes the namespace, whatever is in it.
    async fn close(&self) {
        let free = json!({"metadata": {"finalizers": null}});
        let services = self.path("/api/v1", "services", "");
        let (_, list) = self.ask(ApiMethod::Get, &services, None).await;
        for service in list["items"].as_array().into_iter().flatten() {
            let name = service["metadata"]["name"].as_str().unwrap();
            let path = self.path("/api/v1", "services", name);
            self.ask(MERGE, &path, Some(free.clone())).await;
        }
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let (code, said) = self.ask(ApiMethod::Delete, &path, None).await;
        assert!(code == 200 || code == 202, "{code} {said}");
    }

    /// The path of an object, or of all objects of a kind without a name.
    fn path(&self, api: &str, plural: &str, name: &str) -> String {
        let path = format!("{api}/namespaces/{}/{plural}", self.namespace);
        match name.is_empty() {
            true => path,
            false => format!("{path}/{name}"),
        }
    }

    async fn ask(&self, method: ApiMethod, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = ApiRequest::new(method, path);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = self.requests.send(&request, REQUEST).await.unwrap();
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.code, body)
    }

    async fn create(&self, api: &str, plural: &str, object: Value) {
        let path = self.path(api, plural, "");
        let (code, said) = self.ask(ApiMethod::Post, &path, Some(object)).await;
        assert_eq!(code, 201, "{said}");
    }

    async fn service(&self, name: &str) -> Option<Value> {
        let path = self.path("/api/v1", "services", name);
        let (code, service) = self.ask(ApiMethod::Get, &path, None).await;
        (code == 200).then_some(service)
    }

    /// Asks for a Service until it is as expected. `None`: it does not exist.
    async fn until(&self, what: &str, name: &str, expected: impl Fn(Option<&Value>) -> bool) {
        until(what, async || expected(self.service(name).await.as_ref())).await;
    }

    fn class(&self) -> String {
        format!("kube-lb.internal/{}", self.namespace)
    }

    /// A Service of type LoadBalancer without a selector: no controller of the cluster makes endpoints of it.
    fn load_balancer(&self, name: &str, ports: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
            "type": "LoadBalancer", "loadBalancerClass": self.class(),
            "allocateLoadBalancerNodePorts": false, "ports": ports}})
    }

    /// The endpoints of a Service, marked as another program's.
    fn slice(&self, name: &str, pod: SocketAddr) -> Value {
        let labels = json!({"kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "lb-test"});
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-1"), "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [pod.ip()], "conditions": {"ready": true}}],
            "ports": [{"name": "echo", "port": pod.port(), "protocol": "TCP"}]})
    }

    fn config(&self) -> Config {
        let Self {
            namespace,
            kubeconfig,
            ..
        } = self;
        let text = format!(
            "cluster: {{kubeconfig: {}}}\nclass: {}\ngateway_controller: lb.test/{namespace}\n\
             pools: [{{name: edge, addresses: [127.4.2.1-127.4.2.9]}}]\nworkers: 1\n\
             lease: {{namespace: {namespace}, duration: 3s}}\ndrain_timeout: 1s",
            kubeconfig.display(),
            self.class()
        );
        Config::parse(&text).unwrap()
    }
}

/// The address from which this machine would reach others. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(place: &Place) -> Self {
        let stop = CancellationToken::new();
        let cluster = Cluster::kubeconfig(Path::new(&place.kubeconfig));
        let controller = Controller::start(place.config(), Box::new(move |_| cluster.clone()))
            .await
            .unwrap();
        let run = controller.run(stop.clone());
        let task = tokio::spawn(async move {
            run.await;
        });
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        within("the end of the program", self.task).await.unwrap();
    }
}

fn condition<'a>(service: &'a Value, kind: &str) -> Option<&'a Value> {
    let kind = format!("kube-lb.internal/{kind}");
    let conditions = service["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == json!(kind))
}

fn says(service: Option<&Value>, kind: &str, status: &str, reason: &str) -> bool {
    let condition = service.and_then(|service| condition(service, kind));
    condition.is_some_and(|found| found["status"] == status && found["reason"] == reason)
}

#[tokio::test]
async fn a_service_is_served_reported_kept_and_freed() {
    let place = match Place::open().await {
        Ok(place) => place,
        Err(missing) => return println!("skipped: {missing}"),
    };
    // Whatever happens, the namespace is deleted.
    let place = std::sync::Arc::new(place);
    let life = tokio::spawn(live(std::sync::Arc::clone(&place)));
    let lived = life.await;
    place.close().await;
    lived.unwrap();
}

async fn live(place: std::sync::Arc<Place>) {
    let pod = TcpListener::bind((place.pods, 0)).await.unwrap();
    let slice = place.slice(SERVICE, pod.local_addr().unwrap());
    serve("a", pod);
    let any = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = any.local_addr().unwrap().port();
    drop(any);
    let ports = json!([{"name": "echo", "port": port, "protocol": "TCP"}]);
    let service = place.load_balancer(SERVICE, ports);
    place.create("/api/v1", "services", service).await;
    let discovery = "/apis/discovery.k8s.io/v1";
    place.create(discovery, "endpointslices", slice).await;
    let datagrams = json!([{"name": "dns", "port": 53, "protocol": "UDP"}]);
    let service = place.load_balancer("datagrams", datagrams);
    place.create("/api/v1", "services", service).await;

    let running = Running::start(&place).await;
    place
        .until("the Service", SERVICE, |service| {
            says(service, "Serving", "True", "Serving")
                && says(service, "AddressAssigned", "True", "Assigned")
                && says(service, "BackendsResolved", "True", "Resolved")
        })
        .await;
    place
        .until("the refusal of UDP", "datagrams", |service| {
            says(service, "AddressAssigned", "False", "NoPort")
        })
        .await;
    let written = place.service(SERVICE).await.unwrap();
    let ingress = &written["status"]["loadBalancer"]["ingress"];
    assert_eq!(ingress.as_array().unwrap().len(), 1, "{ingress}");
    assert_eq!(ingress[0]["ipMode"], "Proxy");
    assert_eq!(
        ingress[0]["ports"],
        json!([{"port": port, "protocol": "TCP"}])
    );
    let finalizers = &written["metadata"]["finalizers"];
    assert_eq!(
        *finalizers,
        json!(["service.kubernetes.io/load-balancer-cleanup"])
    );
    let ip: IpAddr = ingress[0]["ip"].as_str().unwrap().parse().unwrap();
    let addr = SocketAddr::new(ip, port);
    assert_eq!(streams::ask(addr).await.unwrap(), "a");

    // Events are written last.
    let events = place.path("/apis/events.k8s.io/v1", "events", "");
    until("the Event", async || {
        let (_, events) = place.ask(ApiMethod::Get, &events, None).await;
        let mut events = events["items"].as_array().unwrap().iter();
        events.any(|event| event["reason"] == "Assigned" && event["regarding"]["name"] == SERVICE)
    })
    .await;

    // A restart keeps the address, and writes nothing: the Lease is what shows that the new process leads.
    running.end().await;
    assert!(streams::ask(addr).await.is_err());
    let before = place.service(SERVICE).await.unwrap();
    let running = Running::start(&place).await;
    until("the new process", async || {
        streams::ask(addr).await.ok().as_deref() == Some("a")
    })
    .await;
    let lease = place.path("/apis/coordination.k8s.io/v1", "leases", "kube-lb");
    let renewals = async || {
        let (_, lease) = place.ask(ApiMethod::Get, &lease, None).await;
        let spec = &lease["spec"];
        (spec["holderIdentity"].clone(), spec["renewTime"].clone())
    };
    for _ in 0..2 {
        let (_, last) = renewals().await;
        until("a renewal of the Lease", async || {
            let (holder, renewed) = renewals().await;
            holder != json!("") && renewed != last
        })
        .await;
    }
    let after = place.service(SERVICE).await.unwrap();
    assert_eq!(
        after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
        "{after}"
    );

    // Another type: what was written is taken back, and the port is closed.
    let path = place.path("/api/v1", "services", SERVICE);
    let change = json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null,
        "allocateLoadBalancerNodePorts": null}});
    let (code, said) = place.ask(MERGE, &path, Some(change)).await;
    assert_eq!(code, 200, "{said}");
    place
        .until("the clean-up", SERVICE, |service| {
            let service = service.unwrap();
            let finalizers = service["metadata"]["finalizers"].as_array();
            condition(service, "Serving").is_none() && finalizers.is_none_or(Vec::is_empty)
        })
        .await;
    assert!(streams::ask(addr).await.is_err());
    // A deleted one is freed.
    let path = place.path("/api/v1", "services", "datagrams");
    place.ask(ApiMethod::Delete, &path, None).await;
    place
        .until("the deletion", "datagrams", |service| service.is_none())
        .await;
    running.end().await;
}
