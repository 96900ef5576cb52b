//! Directives that are of nginx's HTTP, or of no program, and what they are written for here.

use crate::config::unsupported;

/// Names, or with a star at the end the starts of names, and what to do.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("ip_hash", "\"hash $remote_addr consistent\" keeps clients on their servers"),
    ("keepalive", "remove it: each client has a connection of its own to a server"),
    ("limit_req*", "\"limit_conn\" limits the sessions of a client"),
    ("proxy_read_timeout", "\"proxy_timeout\" limits how long a session is silent"),
    ("proxy_send_timeout", "\"proxy_timeout\" limits how long a session is silent"),
    ("real_ip_header", "\"listen … proxy_protocol\" and \"set_real_ip_from\" take the client's address from a PROXY header"),
    ("round_robin", "remove it: it is the method of an upstream that names none"),
    ("add_header", ""),
    ("alias", ""),
    ("auth_*", ""),
    ("client_*", ""),
    ("default_type", ""),
    ("error_page", ""),
    ("expires", ""),
    ("fastcgi_*", ""),
    ("grpc_*", ""),
    ("gzip*", ""),
    ("http2*", ""),
    ("if", ""),
    ("index", ""),
    ("keepalive_*", ""),
    ("location", ""),
    ("proxy_buffering", ""),
    ("proxy_cache*", ""),
    ("proxy_cookie_*", ""),
    ("proxy_hide_header", ""),
    ("proxy_http_version", ""),
    ("proxy_intercept_errors", ""),
    ("proxy_pass_header", ""),
    ("proxy_redirect", ""),
    ("proxy_request_buffering", ""),
    ("proxy_set_header", ""),
    ("rewrite", ""),
    ("root", ""),
    ("sendfile", ""),
    ("server_tokens", ""),
    ("sub_filter*", ""),
    ("try_files", ""),
    ("uwsgi_*", ""),
];

/// What to do instead of the directive `name`, which nginx_like does not have.
pub(super) fn hint(name: &str) -> Option<String> {
    if ["//", "/*", "--"]
        .iter()
        .any(|begin| name.starts_with(begin))
    {
        return Some("a comment begins with \"#\"".to_owned());
    }
    let mut names = NAMES.iter();
    let (_, instead) = names.find(|(known, _)| unsupported::is(known, name))?;
    Some(match *instead {
        "" => format!("\"{name}\" belongs to HTTP, which passes through unchanged: remove it"),
        instead => instead.to_owned(),
    })
}
