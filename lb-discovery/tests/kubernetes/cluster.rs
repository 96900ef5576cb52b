//! Access to the API: kubeconfigs, contexts, and rotated tokens and certificates.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_discovery::kubernetes::{Cluster, EndpointSlices};
use lb_discovery::{DiscoveryError, Source};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::sources::{run, until, until_error};
use test_support::discovery::RunningDriver;
use test_support::kubernetes::ApiServer;
use test_support::kubernetes::objects::{endpoint, inner_service, slice};

pub(crate) async fn server() -> ApiServer {
    let server = ApiServer::start().await;
    server.put("services", inner_service());
    one(&server);
    server
}

pub(crate) fn one(server: &ApiServer) {
    server.put("services", inner_service());
    server.put(
        "endpointslices",
        slice("echo-a", &[endpoint("10.0.0.1", "a")]),
    );
}

pub(crate) fn two(server: &ApiServer) {
    let endpoints = [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b")];
    server.put("endpointslices", slice("echo-a", &endpoints));
}

pub(crate) fn follow(path: &Path) -> RunningDriver {
    run(EndpointSlices::try_new(Cluster::kubeconfig(path), "default", "echo").unwrap())
}

#[tokio::test]
async fn a_token_that_is_replaced_in_the_kubeconfig() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("first");
    let path = server.kubeconfig(dir.path(), "", "token: first");
    let mut running = follow(&path);
    until(&mut running, &["10.0.0.1:8080"]).await;
    server.token("second");
    server.end_watches();
    until_error(&running, "401 Unauthorized").await;
    server.kubeconfig(dir.path(), "", "token: second");
    two(&server);
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}

#[tokio::test]
async fn a_token_file_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("first");
    let token = dir.path().join("token");
    fs::write(&token, "first").unwrap();
    let user = format!("tokenFile: {}", token.display());
    let mut running = follow(&server.kubeconfig(dir.path(), "", &user));
    until(&mut running, &["10.0.0.1:8080"]).await;
    // The server refuses the old token before the minute after which the file is read again anyway.
    server.token("second");
    fs::write(&token, "second").unwrap();
    server.end_watches();
    two(&server);
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}

#[tokio::test]
async fn a_token_file_with_a_newline_takes_precedence_over_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    server.token("filed");
    let token = dir.path().join("token");
    fs::write(&token, "filed\n").unwrap();
    let user = format!("token: written, tokenFile: {}", token.display());
    let mut running = follow(&server.kubeconfig(dir.path(), "", &user));
    until(&mut running, &["10.0.0.1:8080"]).await;
    // Without the file, the token is used.
    server.token("written");
    fs::remove_file(&token).unwrap();
    server.end_watches();
    two(&server);
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}

#[tokio::test]
async fn a_token_file_that_is_missing_or_empty_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let token = dir.path().join("token");
    let user = format!("tokenFile: {}", token.display());
    let path = server.kubeconfig(dir.path(), "", &user);
    let named = format!("the token file {}", token.display());
    for problem in ["No such file", "is empty"] {
        let error = Cluster::kubeconfig(&path).check().unwrap_err().to_string();
        assert!(error.contains(&named) && error.contains(problem), "{error}");
        let running = follow(&path);
        until_error(&running, &named).await;
        until_error(&running, problem).await;
        fs::write(&token, "\n").unwrap();
    }
}

#[tokio::test]
async fn a_context_is_chosen_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let path = server.kubeconfig(dir.path(), "", "");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("current-context: test", "current-context: other"),
    )
    .unwrap();
    let of = |cluster: Cluster| run(EndpointSlices::try_new(cluster, "default", "echo").unwrap());
    let mut running = of(Cluster::kubeconfig(&path).context("test"));
    let set = running.next().await;
    let source = set.iter().next().unwrap().source.clone();
    assert_eq!(source.as_deref(), Some("kubernetes:default/echo@test"));

    let error = Cluster::kubeconfig(&path).check().unwrap_err();
    assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!(
            "reading the kubeconfig {}: failed to load current context: other",
            path.display()
        )
    );
}

#[tokio::test]
async fn an_invalid_kubeconfig_is_an_error_until_it_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let path = dir.path().join("kubeconfig");
    let mut running = follow(&path);
    until_error(&running, "No such file or directory").await;
    fs::write(&path, "clusters: [{name: ").unwrap();
    until_error(&running, "failed to parse kubeconfig YAML").await;
    server.kubeconfig(dir.path(), "", "");
    until(&mut running, &["10.0.0.1:8080"]).await;
}

#[test]
fn a_kubeconfig_that_cannot_be_read_in_time_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    // Opening it waits for a writer, as on an unresponsive file system.
    mknodat(CWD, &path, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    let cluster = Cluster::kubeconfig(&path).request_timeout(Duration::from_millis(100));
    let error = cluster.check().unwrap_err();
    assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
    let named = format!(
        "reading the kubeconfig {}: not read within 100ms",
        path.display()
    );
    assert!(error.to_string().starts_with(&named), "{error}");
    // The identity, which a driver asks for at a reload, is limited in time as well.
    let source = EndpointSlices::try_new(cluster, "default", "echo").unwrap();
    assert!(source.identity().contains("default/echo"));
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_is_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = server().await;
    let missing = dir.path().join("lb.crt").display().to_string();
    let user = format!("client-certificate: {missing}, client-key: {missing}");
    let path = server.kubeconfig(dir.path(), "", &user);
    let error = Cluster::kubeconfig(&path).check().unwrap_err().to_string();
    assert!(error.contains(&missing), "{error}");
}

#[test]
fn outside_of_a_cluster_there_is_no_service_account() {
    let error = Cluster::in_cluster().check().unwrap_err();
    assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("reading the pod's service account: "),
        "{error}"
    );
}

#[test]
fn names_are_validated_before_use_in_a_url() {
    for (namespace, service) in [
        ("../..", "a"),
        ("a", "A"),
        ("a", ""),
        ("a", "-a"),
        ("a.b", "c"),
        ("a", "b/c"),
    ] {
        let error = EndpointSlices::try_new(Cluster::inferred(), namespace, service).unwrap_err();
        assert!(matches!(error, DiscoveryError::Config { .. }), "{error}");
    }
}

/// A certificate authority, and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A certificate and its key, as PEM.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that accepts clients with a certificate of this authority.
    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_as("127.0.0.1")
    }

    /// Such a server, with a certificate for `name`.
    pub(crate) fn acceptor_as(&self, name: &str) -> TlsAcceptor {
        self.acceptor_of(name, self)
    }

    /// A server that accepts clients with a certificate of `clients`.
    pub(crate) fn acceptor_for(&self, clients: &Self) -> TlsAcceptor {
        self.acceptor_of("127.0.0.1", clients)
    }

    /// Such a server, with the certificate of the authority itself.
    pub(crate) fn acceptor_as_itself(&self) -> TlsAcceptor {
        let key = self.issuer.key().serialize_pem();
        Self::acceptor_with((self.certificate.clone(), key), self)
    }

    fn acceptor_of(&self, name: &str, clients: &Self) -> TlsAcceptor {
        Self::acceptor_with(self.sign(name), clients)
    }

    fn acceptor_with((certificate, key): (String, String), clients: &Self) -> TlsAcceptor {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(&clients.certificate)).unwrap();
        let clients = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![der(&certificate)], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Writes the files of a client.
    pub(crate) fn write(&self, dir: &Path) {
        let (certificate, key) = self.sign("lb");
        fs::write(dir.join("ca.crt"), &self.certificate).unwrap();
        fs::write(dir.join("lb.crt"), certificate).unwrap();
        fs::write(dir.join("lb.key"), key).unwrap();
    }
}

#[tokio::test]
async fn certificates_and_their_authority_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (old, new) = (Authority::new(), Authority::new());
    let mut server = ApiServer::with_tls(Some(old.acceptor())).await;
    server.put("services", inner_service());
    one(&server);
    old.write(dir.path());
    let cluster = format!("certificate-authority: {}", file("ca.crt"));
    let user = format!(
        "client-certificate: {}, client-key: {}",
        file("lb.crt"),
        file("lb.key")
    );
    let mut running = follow(&server.kubeconfig(dir.path(), &cluster, &user));
    until(&mut running, &["10.0.0.1:8080"]).await;

    server.kill().await;
    server.set_tls(new.acceptor());
    server.restart().await;
    until_error(&running, "invalid peer certificate").await;
    until_error(
        &running,
        "does the kubeconfig's certificate-authority fit the server?",
    )
    .await;
    new.write(dir.path());
    two(&server);
    until(&mut running, &["10.0.0.1:8080", "10.0.0.2:8080"]).await;
}
