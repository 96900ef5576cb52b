//! TLS handshakes as checks.

use std::net::SocketAddr;
use std::sync::Arc;

use lb_proxy::health::{CheckState, TlsCheck, TlsCheckError};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use test_support::nodes::named;
use test_support::sockets::loopback;

use super::{decision, up};

/// A server with a certificate of its own for `www.example.com`. Returns its address, and the certificate.
fn server() -> (SocketAddr, String) {
    let names = vec!["www.example.com".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(
        config
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap(),
    );
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Fails if the check refuses the certificate.
            let _ = tls.complete_io(&mut stream.unwrap());
        }
    });
    (addr, cert.pem())
}

#[tokio::test]
async fn a_handshake_completes_whatever_the_certificate_unless_it_is_checked() {
    let (addr, pem) = server();
    assert_eq!(decision(TlsCheck::new(), addr).await, up("TLSv1_3"));
    let named = |name: &str| TlsCheck::new().try_server_name(name).unwrap();
    assert_eq!(
        decision(named("other.example.com"), addr).await,
        up("TLSv1_3")
    );
    let trusted = named("www.example.com").try_roots(pem.as_bytes()).unwrap();
    assert_eq!(decision(trusted, addr).await, up("TLSv1_3"));
    let (_, other) = server();
    let untrusted = named("www.example.com")
        .try_roots(other.as_bytes())
        .unwrap();
    let (state, text) = decision(untrusted, addr).await;
    assert!(
        state == CheckState::Down && text.contains("invalid peer certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_tls_is_down() {
    let (state, text) = decision(TlsCheck::new(), named("220 hello\r\n").await).await;
    assert_eq!(state, CheckState::Down);
    assert!(text.starts_with("TLS handshake failed: "), "{text}");
    let error = TlsCheck::new().try_roots(b"nothing").unwrap_err();
    assert_eq!(error, TlsCheckError::Roots("there is none".into()));
    assert!(TlsCheck::new().try_server_name("192.0.2.1").is_err());
}

#[test]
fn authorities_of_one_name_with_different_keys_are_different_checks() {
    let authority = || {
        let CertifiedKey { cert, .. } = generate_simple_self_signed(vec!["a.test".into()]).unwrap();
        cert.pem()
    };
    let check = |pem: &str| format!("{:?}", TlsCheck::new().try_roots(pem.as_bytes()).unwrap());
    let (old, new) = (authority(), authority());
    assert_eq!(check(&old), check(&old));
    assert_ne!(check(&old), check(&new));
}
