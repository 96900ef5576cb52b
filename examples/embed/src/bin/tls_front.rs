//! TLS to clients, plain TCP to backends: `tls_front LISTEN CERTIFICATE KEY BACKEND...`.
//!
//! The program accepts and ends TLS. The upstream does the rest: policy, retries, and the PROXY header that names the client.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lb_proxy::lb_core::Snapshot;
use lb_proxy::proxy_protocol::SendProxy;
use lb_proxy::{Relay, Upstream};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

async fn serve(client: TcpStream, tls: TlsAcceptor, nodes: Upstream) -> Result<(), Box<dyn Error>> {
    let (from, to) = (client.peer_addr()?, client.local_addr()?);
    let mut client = timeout(Duration::from_secs(10), tls.accept(client)).await??;
    let mut backend = nodes
        .connect(from.ip().to_string())
        .client(from, to)
        .await?;
    Relay::new().run_streams(&mut client, &mut backend).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || {
        arguments
            .next()
            .ok_or("tls_front LISTEN CERTIFICATE KEY BACKEND...")
    };
    let (listen, certificate, key) = (argument()?, argument()?, argument()?);
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let tls = TlsAcceptor::from(Arc::new(config));

    let nodes = Upstream::builder("nodes").send_proxy(Some(SendProxy::v1()));
    let nodes = nodes.fixed(&Snapshot::try_from_backends(arguments)?)?;
    let listener = TcpListener::bind(listen).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        let (client, from) = listener.accept().await?;
        let (tls, nodes) = (tls.clone(), nodes.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(client, tls, nodes).await {
                eprintln!("{from}: {error}");
            }
        });
    }
}
