//! Directives of nginx that nginx_like does not have yet.

/// Names, or with a star at the end the starts of names.
const NAMES: &[&str] = &[
    // main
    "debug_points",
    "env",
    "google_perftools_profiles",
    "ssl_engine",
    "worker_priority",
    "worker_rlimit_core",
    "working_directory",
    // events
    "debug_connection",
    // stream and its servers
    "access_log",
    "geo",
    "geoip_*",
    "js_*",
    "keyval*",
    "limit_conn_dry_run",
    "limit_conn_log_level",
    "log_format",
    "map_hash_*",
    "mqtt*",
    "open_log_file_cache",
    "pass",
    "proxy_download_rate",
    "proxy_requests",
    "proxy_responses",
    "proxy_session_drop",
    "proxy_socket_rcvbuf",
    "proxy_socket_sndbuf",
    "proxy_ssl*",
    "proxy_upload_rate",
    "return",
    "server_name",
    "server_names_hash_*",
    "set",
    "split_clients",
    "ssl_alpn",
    "ssl_certificate*",
    "ssl_ciphers",
    "ssl_client_certificate",
    "ssl_conf_command",
    "ssl_crl",
    "ssl_dhparam",
    "ssl_ecdh_curve",
    "ssl_handshake_timeout",
    "ssl_key_log",
    "ssl_ocsp*",
    "ssl_password_file",
    "ssl_prefer_server_ciphers",
    "ssl_protocols",
    "ssl_reject_handshake",
    "ssl_session_*",
    "ssl_stapling*",
    "ssl_trusted_certificate",
    "ssl_verify_*",
    "status_zone",
    "variables_hash_*",
    "zone_sync*",
    // upstream
    "ntlm",
    "queue",
    "state",
    "sticky",
    // health checks
    "health_check*",
    "match",
];

/// Whether nginx may know a directive that nginx_like does not have.
pub(crate) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *known,
    })
}
