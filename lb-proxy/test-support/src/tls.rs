//! First bytes of TLS clients, and a server for them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::sockets::loopback;

/// A ClientHello that asks for `name`.
pub fn client_hello(name: &'static str) -> Vec<u8> {
    let config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    hello
}

/// A server that completes handshakes, with a certificate of its own for `www.example.com`. It runs until the process ends.
#[derive(Debug)]
pub struct TlsServer {
    /// The address.
    pub addr: SocketAddr,
    /// The certificate.
    pub pem: String,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsServer {
    /// Starts a server on a thread of its own.
    pub fn start() -> Self {
        let names = vec!["www.example.com".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let names = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&names);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                // Fails if the client refuses the certificate, or speaks no TLS.
                let _ = tls.complete_io(&mut stream.unwrap());
                // A client that ended before it said anything has asked for none.
                if tls.protocol_version().is_some() {
                    let name = tls.server_name().map(str::to_owned);
                    asked.lock().unwrap().push(name);
                }
            }
        });
        let pem = cert.pem();
        Self { addr, pem, names }
    }

    /// The server names (SNI) that the clients asked for, in the order of the clients. `None`: without a name.
    pub fn names(&self) -> Vec<Option<String>> {
        self.names.lock().unwrap().clone()
    }
}
