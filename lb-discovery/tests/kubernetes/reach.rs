//! Connections to an API server: names, TLS, redirects, proxies.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lb_discovery::kubernetes::Cluster;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Authority, follow, one, server};
use crate::sources::{Api, run, until, until_error};
use test_support::deadline::eventually;
use test_support::kubernetes::objects::{inner_service, node};
use test_support::kubernetes::{ApiServer, Fault};

#[tokio::test]
async fn a_certificate_for_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(dir.path());
    let tls = authority.acceptor_as("api.example.com");
    let server = ApiServer::with_tls(Some(tls)).await;
    one(&server);
    let file = |name: &str| dir.path().join(name).display().to_string();
    let cluster = format!("certificate-authority: {}", file("ca.crt"));
    let user = format!(
        "client-certificate: {}, client-key: {}",
        file("lb.crt"),
        file("lb.key")
    );
    let mut running = follow(&server.kubeconfig(dir.path(), &cluster, &user));
    until_error(&running, "certificate not valid for name \"127.0.0.1\"").await;
    until_error(&running, "set tls-server-name in the kubeconfig").await;
    let named = format!("{cluster}, tls-server-name: api.example.com");
    server.kubeconfig(dir.path(), &named, &user);
    until(&mut running, &["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_server_with_the_certificate_of_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(dir.path());
    let server = ApiServer::with_tls(Some(authority.acceptor_as_itself())).await;
    let ca = dir.path().join("ca.crt");
    let cluster = format!("certificate-authority: {}", ca.display());
    let running = follow(&server.kubeconfig(dir.path(), &cluster, ""));
    until_error(
        &running,
        "the server's certificate is that of an authority, and cannot be a server's",
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_reported_with_its_host() {
    let api = Api::start().await;
    one(&api.server);
    api.server.fault(Fault::Redirected);
    let running = run(api.slices());
    until_error(
        &running,
        "302: the server redirects to login.example, as no",
    )
    .await;
    let errors = format!("{:?}", running.handle.status().sources[0].last_error);
    assert!(!errors.contains("state"), "{errors}");
}

#[tokio::test]
async fn a_server_without_a_client_certificate_or_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(dir.path());
    let ca = dir.path().join("ca.crt");
    let cluster = format!("certificate-authority: {}", ca.display());
    let tls = authority.acceptor_as("127.0.0.1");
    let server = ApiServer::with_tls(Some(tls)).await;
    let running = follow(&server.kubeconfig(dir.path(), &cluster, ""));
    until_error(&running, "the server asks for a client certificate").await;

    let plain = ApiServer::start().await;
    let path = plain.kubeconfig(dir.path(), "", "");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("http://", "https://")).unwrap();
    until_error(&running, "is TLS spoken at this port?").await;
}

#[tokio::test]
async fn a_server_without_a_scheme_is_rejected_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let path = server.kubeconfig(dir.path(), "", "");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("http://", "")).unwrap();
    let error = Cluster::kubeconfig(&path).check().unwrap_err().to_string();
    let addr = server.url().replace("http://", "");
    let problem = format!("the cluster's server {addr:?} has no scheme: write https://{addr}");
    assert_eq!(
        error,
        format!("reading the kubeconfig {}: {problem}", path.display())
    );
}

#[tokio::test]
async fn an_overloaded_server_sets_the_delay() {
    let api = Api::start().await;
    one(&api.server);
    for code in [429, 503] {
        api.server.fault(Fault::Throttled(code, 3600));
        let mut running = run(api.slices());
        let asked = "set to fail; the server asks to wait for 3600 s";
        until_error(&running, &format!("{code}: {asked}")).await;
        // No longer than any other failure: the driver's delays have a limit.
        api.server.fault(Fault::None);
        until(&mut running, &["10.0.0.1:8080"]).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_load_balancer_without_node_ports() {
    let api = Api::start().await;
    let mut service = inner_service();
    service["spec"]["type"] = json!("LoadBalancer");
    service["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    api.server.put("services", service);
    api.server.put("nodes", node("node-1", "10.1.0.1"));
    let running = run(api.node_port());
    until_error(
        &running,
        "port 80 has no node port, because its Service of type LoadBalancer has \
         allocateLoadBalancerNodePorts: false: set that to true, or use the pods' addresses",
    )
    .await;
}

/// A proxy that connects to any requested server, and counts connections.
pub(crate) async fn proxy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client, Arc::clone(&count)));
        }
    });
    (addr, served)
}

async fn tunnel(mut client: TcpStream, count: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ").unwrap();
    let (target, rest) = target.split_once(' ').unwrap();
    // "user:pa@ss"
    let right = rest.contains("Basic dXNlcjpwYUBzcw==");
    assert!(right, "{rest}");
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    count.fetch_add(1, Ordering::Relaxed);
    drop(copy_bidirectional(&mut client, &mut server).await);
}

#[tokio::test]
async fn a_proxy_is_used_and_gets_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let (addr, served) = proxy().await;
    let cluster = format!("proxy-url: \"http://user:pa%40ss@{addr}\"");
    let mut running = follow(&server.kubeconfig(dir.path(), &cluster, ""));
    until(&mut running, &["10.0.0.1:8080"]).await;
    eventually("a request to the proxy", || {
        served.load(Ordering::Relaxed) >= 1
    })
    .await;
}
