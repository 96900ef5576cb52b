//! TLS handshakes as checks.

use lb_proxy::health::{CheckState, TlsCheck, TlsCheckError};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::tls::TlsServer;

use super::{decision, up};

#[tokio::test]
async fn a_handshake_completes_whatever_the_certificate_unless_it_is_checked() {
    let server = TlsServer::start();
    let addr = server.addr;
    assert_eq!(decision(TlsCheck::new(), addr).await, up("TLSv1_3"));
    let named = |name: &str| TlsCheck::new().try_server_name(name).unwrap();
    assert_eq!(
        decision(named("other.example.com"), addr).await,
        up("TLSv1_3")
    );
    let trusted = named("www.example.com")
        .try_roots(server.pem.as_bytes())
        .unwrap();
    assert_eq!(decision(trusted, addr).await, up("TLSv1_3"));
    let other = TlsServer::start();
    let untrusted = named("www.example.com")
        .try_roots(other.pem.as_bytes())
        .unwrap();
    let (state, text) = decision(untrusted, addr).await;
    assert!(
        state == CheckState::Down && text.contains("invalid peer certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn the_server_name_of_a_check_arrives() {
    for name in [None, Some("a.example.com"), Some("b.example.com")] {
        let server = TlsServer::start();
        let check = match name {
            Some(name) => TlsCheck::new().try_server_name(name).unwrap(),
            None => TlsCheck::new(),
        };
        assert_eq!(decision(check, server.addr).await, up("TLSv1_3"));
        eventually("the end of the handshake", || !server.names().is_empty()).await;
        let names = server.names();
        let names: Vec<_> = names.iter().map(Option::as_deref).collect();
        assert!(names.iter().all(|asked| *asked == name), "{names:?}");
    }
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
