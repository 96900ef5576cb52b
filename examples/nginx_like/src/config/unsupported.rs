//! Directives of nginx that nginx_like does not have.

pub(super) const TLS: &str = "end TLS in front of nginx_like or on the servers; \
    \"ssl_preread\" chooses the upstream by name without ending TLS";

/// Names, or with a star at the end the starts of names, and what to do instead.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("geoip_*", "the databases of that form are no longer made: name the networks in a file, and \"include\" it in a \"geo\""),
    ("google_perftools_profiles", "remove it: perf profiles the process"),
    ("js_*", "there is no JavaScript here: use \"map\" with what a client says first, or decide on the servers"),
    ("keyval*", "use \"map\" with a file of its own, and reload"),
    ("mqtt*", "remove it: MQTT passes through unchanged, and the brokers see the clients by \"proxy_protocol\""),
    ("ntlm", "it belongs to HTTP"),
    ("num_map", "use \"map\" with regular expressions"),
    ("proxy_session_drop", "remove it: sessions to a server that a name or a service no longer has go on"),
    ("queue", "it belongs to HTTP"),
    ("state", "list the servers, or \"include\" a file that lists them, and reload"),
    ("status_zone", "remove it: the logs have the events"),
    ("sticky", "it belongs to HTTP: \"hash $remote_addr\" keeps clients on their servers"),
    ("zone_sync*", "remove it: each process counts for itself"),
];

/// The names, or their starts, of those that it will not have: they belong to TLS, to a scripting language, to HTTP, or to what nginx
/// sells.
const FINAL: &[&str] = &[
    "geoip_*",
    "google_perftools_profiles",
    "js_*",
    "keyval*",
    "mqtt*",
    "ntlm",
    "num_map",
    "proxy_session_drop",
    "queue",
    "state",
    "status_zone",
    "sticky",
    "zone_sync*",
];

/// What nginx_like says about a directive that nginx may have and nginx_like does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// Whether it will never have it.
    pub(crate) is_final: bool,
    /// What to do instead.
    pub(crate) instead: &'static str,
}

impl Refusal {
    /// `None` if nginx does not have the directive either, or nginx_like has it.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (_, instead) = NAMES.iter().find(|(known, _)| is(known, name))?;
        Some(Self {
            is_final: FINAL.iter().any(|known| is(known, name)),
            instead,
        })
    }
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
