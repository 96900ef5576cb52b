//! Directives of nginx that nginx_like does not have yet.

/// Names, or with a star at the end the starts of names, and what to do instead.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("access_log", "remove it: sessions are not logged one by one, \"error_log\" has the failures"),
    ("debug_connection", "remove it"),
    ("debug_points", "remove it, and let the service manager set it for the process"),
    ("env", "remove it, and let the service manager set it for the process"),
    ("geo", "use \"map\", or a server of its own for each choice"),
    ("geoip_*", "use \"map\", or a server of its own for each choice"),
    ("google_perftools_profiles", "remove it, and let the service manager set it for the process"),
    ("health_check*", "remove it: \"max_fails\" and \"fail_timeout\" take failing servers out"),
    ("js_*", "use \"map\", or a server of its own for each choice"),
    ("keyval*", "use \"map\", or a server of its own for each choice"),
    ("limit_conn_dry_run", "remove it: a client over the limit is refused and logged"),
    ("limit_conn_log_level", "remove it: a client over the limit is refused and logged"),
    ("log_format", "remove it: sessions are not logged one by one, \"error_log\" has the failures"),
    ("match", "remove it: \"max_fails\" and \"fail_timeout\" take failing servers out"),
    ("mqtt*", "remove it"),
    ("ntlm", "remove it"),
    ("open_log_file_cache", "remove it: sessions are not logged one by one, \"error_log\" has the failures"),
    ("proxy_session_drop", "remove it: the sessions of a server that is removed go on until they end"),
    ("proxy_ssl*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("queue", "remove it"),
    ("split_clients", "use \"map\", or a server of its own for each choice"),
    ("ssl_alpn", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_certificate*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_ciphers", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_client_certificate", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_conf_command", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_crl", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_dhparam", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_ecdh_curve", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_engine", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_handshake_timeout", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_key_log", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_ocsp*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_password_file", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_prefer_server_ciphers", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_protocols", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_reject_handshake", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_session_*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_stapling*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_trusted_certificate", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("ssl_verify_*", "end TLS in front of nginx_like or on the servers; \"ssl_preread\" chooses the upstream by name without ending TLS"),
    ("state", "remove it"),
    ("status_zone", "remove it: the log has the events"),
    ("sticky", "remove it"),
    ("worker_priority", "remove it, and let the service manager set it for the process"),
    ("worker_rlimit_core", "remove it, and let the service manager set it for the process"),
    ("working_directory", "remove it, and let the service manager set it for the process"),
    ("zone_sync*", "remove it"),
];

/// What to do instead of a directive that nginx may know and nginx_like does not have.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    let found = NAMES
        .iter()
        .find(|(known, _)| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *known,
        });
    found.map(|(_, instead)| *instead)
}
