//! A cluster, the program, and clients.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kube_lb::clusters::ClusterPlace;
use kube_lb::config::Config;
use kube_lb::controller::Controller;
use kube_lb::metrics::ControllerMetrics;
use kube_lb::names::GLOBAL;
use lb_discovery::kubernetes::Cluster;
use lb_proxy::Handle;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::deadline::{poll_until, within};
use test_support::kubernetes::ApiServer;
use test_support::kubernetes::objects::{endpoint, on_node, slice};
use test_support::nodes::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A cluster without controllers of its own.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) dir: TempDir,
    /// The first three octets of the pool, which no other test uses.
    network: [u8; 3],
}

impl World {
    /// `number`: unique among the tests, which run at the same time and listen on the same ports.
    pub(crate) async fn start(number: u8) -> Self {
        let api = ApiServer::start().await;
        let dir = tempfile::tempdir().unwrap();
        api.kubeconfig(dir.path(), "", "token: secret");
        Self {
            api,
            dir,
            network: [127, 1, number],
        }
    }

    /// The address of the pool with this last octet.
    pub(crate) fn ip(&self, last: u8) -> IpAddr {
        let [a, b, c] = self.network;
        IpAddr::from([a, b, c, last])
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The text of a configuration with the pool and `more`.
    pub(crate) fn config_text(&self, more: &str) -> String {
        let (first, last) = (self.ip(1), self.ip(20));
        format!(
            "cluster: {{kubeconfig: {}}}\npools: [{{name: edge, addresses: [{first}-{last}]}}]\nworkers: 1\n{more}",
            self.kubeconfig().display()
        )
    }

    pub(crate) fn config(&self, more: &str) -> Config {
        Config::parse(&self.config_text(more)).unwrap()
    }

    /// Starts the program with `more` in its configuration.
    pub(crate) async fn run(&self, more: &str) -> Running {
        Running::start(self.config(more)).await
    }

    /// Creates a Service of type LoadBalancer, or changes its ports, and makes a slice with `pods` behind all of them.
    pub(crate) fn serve(&self, name: &str, ports: &[u16], pods: &[SocketAddr]) {
        put_served(&self.api, service(name, ports), pods);
    }

    /// Sets the endpoints of a Service. All pods listen on one port.
    pub(crate) fn endpoints(&self, name: &str, ports: &[u16], pods: &[SocketAddr]) {
        put_endpoints(&self.api, name, ports, pods);
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        self.api.get("services", "default", name)
    }

    /// The condition of a Service, if it has it.
    pub(crate) fn condition(&self, name: &str, kind: &str) -> Option<Value> {
        let service = self.api.find("services", "default", name)?;
        let conditions = service["status"]["conditions"].as_array()?;
        let wanted = format!("kube-lb.internal/{kind}");
        conditions
            .iter()
            .find(|condition| condition["type"] == json!(wanted))
            .cloned()
    }

    /// Whether the status says that all ports are served.
    pub(crate) fn is_served(&self, name: &str) -> bool {
        self.condition(name, "Serving")
            .is_some_and(|condition| condition["status"] == "True")
    }

    /// The addresses in the status of a Service.
    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        let service = self.service(name);
        let ingress = service["status"]["loadBalancer"]["ingress"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        ingress
            .iter()
            .map(|ingress| ingress["ip"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Creates `service`, or changes its specification, and makes a slice with `pods` behind all its ports.
pub(crate) fn put_served(api: &ApiServer, service: Value, pods: &[SocketAddr]) {
    let name = service["metadata"]["name"].as_str().unwrap().to_owned();
    let ports = service["spec"]["ports"].as_array().unwrap().iter();
    let ports: Vec<u16> = ports
        .map(|port| port["port"].as_u64().unwrap().try_into().unwrap())
        .collect();
    match api.find("services", "default", &name) {
        None => api.put("services", service),
        Some(_) => api.change("services", "default", &name, |known| {
            known["spec"] = service["spec"].clone();
        }),
    }
    put_endpoints(api, &name, &ports, pods);
}

/// Sets the endpoints of a Service. All pods listen on one port. The slice has the labels of the Service, as controllers make it.
pub(crate) fn put_endpoints(api: &ApiServer, name: &str, ports: &[u16], pods: &[SocketAddr]) {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| {
            on_node(
                endpoint(&pod.ip().to_string(), &pod.to_string()),
                &format!("node-{}", pod.ip()),
            )
        })
        .collect();
    let mut slice = slice(&format!("{name}-1"), &endpoints);
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!(name);
    let service = api.find("services", "default", name);
    if let Some(value) =
        service.and_then(|service| service["metadata"]["labels"].get(GLOBAL).cloned())
    {
        slice["metadata"]["labels"][GLOBAL] = value;
    }
    let number = pods.first().map_or(1, SocketAddr::port);
    let ports = ports
        .iter()
        .map(|port| json!({"name": port_name(*port), "port": number, "protocol": "TCP"}));
    slice["ports"] = ports.collect();
    api.put("endpointslices", slice);
}

/// A Service that those of its name in other clusters feed.
pub(crate) fn global(mut service: Value) -> Value {
    service["metadata"]["labels"] = json!({GLOBAL: "true"});
    service
}

/// The API server of a cluster with watches that end soon, so that failures are noticed soon.
pub(crate) fn connect(place: &ClusterPlace) -> Cluster {
    place
        .cluster()
        .watch_timeout(Duration::from_secs(5))
        .request_timeout(Duration::from_secs(2))
}

/// The name of a port.
pub(crate) fn port_name(port: u16) -> String {
    format!("p{port}")
}

/// A Service of type LoadBalancer.
pub(crate) fn service(name: &str, ports: &[u16]) -> Value {
    let ports: Vec<_> = ports
        .iter()
        .map(|port| json!({"name": port_name(*port), "port": port, "protocol": "TCP"}))
        .collect();
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": "kube-lb.internal/tcp",
            "externalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "selector": {"app": name},
            "ports": ports,
        },
        "status": {"loadBalancer": {}},
    })
}

/// The running program.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) settings: mpsc::Sender<Config>,
    pub(crate) metrics: ControllerMetrics,
    pub(crate) handle: Handle,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let stop = CancellationToken::new();
        let controller = Controller::start(config, Box::new(connect)).await.unwrap();
        let settings = controller.settings();
        let metrics = controller.metrics().clone();
        let handle = controller.handle().clone();
        let run = controller.run(stop.clone());
        let task = tokio::spawn(async move {
            run.await;
        });
        Self {
            stop,
            settings,
            metrics,
            handle,
            task,
        }
    }

    /// Ends the program in an orderly way.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        within("the end of the program", &mut self.task)
            .await
            .unwrap();
    }

    /// Ends the program as SIGKILL does.
    pub(crate) async fn kill(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that a pod [echoes](echo), and that stays.
pub(crate) struct Session(TcpStream);

impl Session {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let mut session = Self(TcpStream::connect(addr).await.unwrap());
        session.check().await;
        session
    }

    /// Sends a byte there and back.
    pub(crate) async fn check(&mut self) {
        within("an echo", async {
            self.0.write_all(b"x").await.unwrap();
            assert_eq!(self.0.read_u8().await.unwrap(), b'x');
        })
        .await;
    }

    pub(crate) const fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}

/// Starts pods that answer with their names, on one port of addresses that only this test uses.
pub(crate) async fn pods(network: [u8; 3], names: &[&'static str]) -> Vec<SocketAddr> {
    let mut pods: Vec<SocketAddr> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let port = pods.first().map_or(0, SocketAddr::port);
        let [a, b, c] = network;
        let ip = IpAddr::from([a, b, c, u8::try_from(i + 1).unwrap()]);
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        pods.push(listener.local_addr().unwrap());
        serve(name, listener);
    }
    pods
}

/// Starts a pod that echoes bytes, on an address that only this test uses.
pub(crate) async fn echo(ip: [u8; 4]) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    addr
}

/// The answer to a new connection. `None` if there is none.
pub(crate) async fn ask(addr: SocketAddr) -> Option<String> {
    within("an answer", async {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer).filter(|answer| !answer.is_empty())
    })
    .await
}

/// Asks until `accepts` accepts the answer.
pub(crate) async fn ask_until(
    what: &str,
    addr: SocketAddr,
    accepts: impl Fn(Option<&str>) -> bool,
) {
    poll_until(what, || async {
        accepts(ask(addr).await.as_deref()).then_some(())
    })
    .await;
}

/// A port of loopback addresses that no program listens on at any of them.
pub(crate) async fn free_port() -> u16 {
    let any = TcpListener::bind("0.0.0.0:0").await.unwrap();
    any.local_addr().unwrap().port()
}
