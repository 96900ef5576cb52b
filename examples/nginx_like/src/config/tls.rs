//! The directives of TLS. As in nginx, they say nothing without `listen … ssl` or `proxy_ssl on`, which are errors here.

use super::unsupported::TLS;
use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Block, Directive};
use crate::syntax::error::SyntaxError;

impl<B: Block> Directive<B> {
    pub(super) const TLS: &'static [Self] = &[
        Self::simple("proxy_ssl", Exactly(1), |_, statement, reader| {
            if statement.flag()? {
                return Err(statement.error(SyntaxError::RefusedParameter {
                    name: statement.name().to_owned(),
                    parameter: statement.arg().to_owned(),
                    instead: TLS,
                }));
            }
            reader.warn_no_effect(statement);
            Ok(())
        }),
        Self::without_effect("proxy_ssl_alpn", AtLeast(1)),
        Self::without_effect("proxy_ssl_certificate", AtLeast(1)),
        Self::without_effect("proxy_ssl_certificate_cache", AtLeast(1)),
        Self::without_effect("proxy_ssl_certificate_key", AtLeast(1)),
        Self::without_effect("proxy_ssl_ciphers", AtLeast(1)),
        Self::without_effect("proxy_ssl_conf_command", AtLeast(1)),
        Self::without_effect("proxy_ssl_crl", AtLeast(1)),
        Self::without_effect("proxy_ssl_key_log", AtLeast(1)),
        Self::without_effect("proxy_ssl_name", AtLeast(1)),
        Self::without_effect("proxy_ssl_password_file", AtLeast(1)),
        Self::without_effect("proxy_ssl_protocols", AtLeast(1)),
        Self::without_effect("proxy_ssl_server_name", AtLeast(1)),
        Self::without_effect("proxy_ssl_session_reuse", AtLeast(1)),
        Self::without_effect("proxy_ssl_trusted_certificate", AtLeast(1)),
        Self::without_effect("proxy_ssl_verify", AtLeast(1)),
        Self::without_effect("proxy_ssl_verify_depth", AtLeast(1)),
        Self::without_effect("ssl_alpn", AtLeast(1)),
        Self::without_effect("ssl_certificate", AtLeast(1)),
        Self::without_effect("ssl_certificate_cache", AtLeast(1)),
        Self::without_effect("ssl_certificate_compression", AtLeast(1)),
        Self::without_effect("ssl_certificate_key", AtLeast(1)),
        Self::without_effect("ssl_ciphers", AtLeast(1)),
        Self::without_effect("ssl_client_certificate", AtLeast(1)),
        Self::without_effect("ssl_conf_command", AtLeast(1)),
        Self::without_effect("ssl_crl", AtLeast(1)),
        Self::without_effect("ssl_dhparam", AtLeast(1)),
        Self::without_effect("ssl_ecdh_curve", AtLeast(1)),
        Self::without_effect("ssl_ech_file", AtLeast(1)),
        Self::without_effect("ssl_handshake_timeout", AtLeast(1)),
        Self::without_effect("ssl_key_log", AtLeast(1)),
        Self::without_effect("ssl_ocsp", AtLeast(1)),
        Self::without_effect("ssl_ocsp_cache", AtLeast(1)),
        Self::without_effect("ssl_ocsp_responder", AtLeast(1)),
        Self::without_effect("ssl_password_file", AtLeast(1)),
        Self::without_effect("ssl_prefer_server_ciphers", AtLeast(1)),
        Self::without_effect("ssl_protocols", AtLeast(1)),
        Self::without_effect("ssl_reject_handshake", AtLeast(1)),
        Self::without_effect("ssl_session_cache", AtLeast(1)),
        Self::without_effect("ssl_session_ticket_key", AtLeast(1)),
        Self::without_effect("ssl_session_tickets", AtLeast(1)),
        Self::without_effect("ssl_session_timeout", AtLeast(1)),
        Self::without_effect("ssl_stapling", AtLeast(1)),
        Self::without_effect("ssl_stapling_file", AtLeast(1)),
        Self::without_effect("ssl_stapling_responder", AtLeast(1)),
        Self::without_effect("ssl_stapling_verify", AtLeast(1)),
        Self::without_effect("ssl_trusted_certificate", AtLeast(1)),
        Self::without_effect("ssl_verify_client", AtLeast(1)),
        Self::without_effect("ssl_verify_depth", AtLeast(1)),
    ];
}
