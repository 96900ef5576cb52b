//! The check that makes a TLS handshake.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::probe::Probe;

/// Passes if a TLS handshake with the backend completes, with TLS 1.2 or 1.3. Nothing is sent over the connection.
///
/// The certificate is not checked unless [`try_roots`](Self::try_roots) says so: the check finds out whether the backend
/// works, and sessions check certificates by themselves.
#[derive(Clone)]
#[must_use]
#[doc(alias = "ssl-hello-chk", alias = "check-ssl", alias = "check-sni")]
pub struct TlsCheck {
    server_name: Option<ServerName<'static>>,
    alpn: Vec<Vec<u8>>,
    roots: Option<Arc<RootCertStore>>,
    config: Arc<ClientConfig>,
}

/// A setting of a [`TlsCheck`] that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsCheckError {
    /// Not a host name.
    #[error("\"{0}\" is not a host name")]
    ServerName(Box<str>),
    /// The text has no certificate, or one that cannot be read.
    #[error("the trusted certificates cannot be read: {0}")]
    Roots(Box<str>),
}

impl Default for TlsCheck {
    fn default() -> Self {
        Self::of(None, Vec::new(), None)
    }
}

impl TlsCheck {
    /// A handshake without a server name, which accepts every certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the server name that is asked for (SNI), and that the certificate must have if it is checked. Default: none;
    /// a checked certificate must have the backend's address then.
    ///
    /// # Errors
    ///
    /// [`TlsCheckError::ServerName`] for a text that is no host name.
    pub fn try_server_name(self, name: &str) -> Result<Self, TlsCheckError> {
        let bad = || TlsCheckError::ServerName(name.into());
        let parsed = ServerName::try_from(name.to_owned()).map_err(|_| bad())?;
        match parsed {
            ServerName::DnsName(_) => Ok(Self::of(Some(parsed), self.alpn, self.roots)),
            _ => Err(bad()),
        }
    }

    /// Sets the protocols that are offered (ALPN), the preferred one first. Default: none.
    pub fn alpn(self, protocols: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let protocols = protocols.into_iter();
        let alpn = protocols
            .map(|protocol| protocol.as_ref().to_vec())
            .collect();
        Self::of(self.server_name, alpn, self.roots)
    }

    /// Checks certificates: they have to lead to one of those in `pem`. Default: every certificate is accepted.
    ///
    /// # Errors
    ///
    /// [`TlsCheckError::Roots`] for a text without certificates, or with one that cannot be read.
    #[doc(alias = "ca-file", alias = "verify")]
    pub fn try_roots(self, pem: &[u8]) -> Result<Self, TlsCheckError> {
        let bad = |error: &dyn fmt::Display| TlsCheckError::Roots(error.to_string().into());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| bad(&error))?;
            roots.add(certificate).map_err(|error| bad(&error))?;
        }
        if roots.is_empty() {
            return Err(bad(&"there is none"));
        }
        Ok(Self::of(self.server_name, self.alpn, Some(Arc::new(roots))))
    }

    fn of(
        server_name: Option<ServerName<'static>>,
        alpn: Vec<Vec<u8>>,
        roots: Option<Arc<RootCertStore>>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of both versions");
        let builder = match &roots {
            Some(roots) => builder.with_root_certificates(Arc::clone(roots)),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols.clone_from(&alpn);
        // A session that is resumed would not show that the backend can still make a full handshake.
        config.resumption = Resumption::disabled();
        Self {
            server_name,
            alpn,
            roots,
            config: Arc::new(config),
        }
    }
}

#[async_trait]
impl HealthCheck for TlsCheck {
    fn name(&self) -> &str {
        "tls"
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let stream = probe.connect().await?;
        let address = || {
            let ip = stream.peer_addr().map(|addr| addr.ip().to_canonical());
            ServerName::from(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        };
        let name = self.server_name.clone().unwrap_or_else(address);
        let connector = TlsConnector::from(Arc::clone(&self.config));
        match connector.connect(name, stream).await {
            Ok(stream) => {
                let version = stream.get_ref().1.protocol_version();
                let text = version.map(|version| format!("{version:?}"));
                Ok(CheckReport::with_text(text.unwrap_or_default()))
            }
            Err(error) => {
                let text = format!("TLS handshake failed: {error}");
                Err(CheckError::Unexpected(text.into()))
            }
        }
    }
}

/// Shows what a reload compares.
impl fmt::Debug for TlsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsCheck")
            .field("server_name", &self.server_name)
            .field("alpn", &self.alpn)
            // With their keys: a renewed authority may have the name of the old one.
            .field("roots", &self.roots.as_ref().map(|roots| &roots.roots))
            .finish()
    }
}

/// Accepts every certificate, as long as the backend has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
