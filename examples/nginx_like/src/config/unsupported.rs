//! Directives of nginx that nginx_like does not have and never will.

pub(super) const TLS: &str = "end TLS in front of nginx_like or on the servers; \
    \"ssl_preread\" chooses the upstream by name without ending TLS";

/// Names, or with a star at the end the starts of names, and what to do instead.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("geoip_*", "the databases of that form are no longer made: name the networks in a file, and \"include\" it in a \"geo\""),
    ("geoip2*", "name the networks in a file, and \"include\" it in a \"geo\""),
    ("google_perftools_profiles", "remove it: perf profiles the process"),
    ("js_*", "there is no JavaScript here: use \"map\" with what a client says first, or decide on the servers"),
    ("keyval*", "use \"map\" with a file of its own, and reload"),
    ("mgmt", "remove it: there is no licence to report about"),
    ("mqtt*", "remove it: MQTT passes through unchanged, and the brokers see the clients by \"proxy_protocol\""),
    ("ntlm", "it belongs to HTTP"),
    ("num_map", "use \"map\" with regular expressions"),
    ("proxy_session_drop", "remove it: sessions to a server that a name or a service no longer has go on"),
    ("queue", "it belongs to HTTP"),
    ("state", "list the servers, or \"include\" a file that lists them, and reload"),
    ("status_zone", "remove it: \"lb_admin\" serves what every server and upstream does, at /metrics and /status.json"),
    ("sticky", "it belongs to HTTP: \"hash $remote_addr\" keeps clients on their servers"),
    ("zone_sync*", "remove it: each process counts for itself; with \"hash … consistent\" replicas send a client to the same server (docs/high-availability.md)"),
];

/// What to do instead of the directive `name`. `None` if nginx does not have it either, or nginx_like has it.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    let found = NAMES.iter().find(|(known, _)| is(known, name));
    found.map(|(_, instead)| *instead)
}

/// Whether `name` is `known`, or starts with it if that ends with a star.
pub(crate) fn is(known: &str, name: &str) -> bool {
    match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == known,
    }
}

/// The names and starts of names of all of them.
#[cfg(test)]
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(known, _)| *known)
}
