//! Names that may be meant where there is a typing mistake.

/// How many characters a name may differ from the one that was meant.
const TYPOS: usize = 2;

/// The name that `name` may be a typing mistake of.
pub(super) fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &&str| strsim::osa_distance(known, name);
    let nearest = names.min_by_key(distance)?;
    // A short name is near to many.
    let most = TYPOS.min(name.len() / 3);
    (distance(&nearest) <= most).then_some(nearest)
}

const CHECK_KINDS: &[&str] = &["agent", "http", "node_port", "tcp", "tls"];

const CHECK_PARAMETERS: &[&str] = &[
    "down_interval",
    "expect",
    "fails",
    "fast_interval",
    "host",
    "interval",
    "jitter",
    "mandatory",
    "match",
    "passes",
    "persistent",
    "port",
    "send",
    "sni",
    "status",
    "type",
    "uri",
];

/// The value of the parameter `name` that `written` may be a typing mistake of.
fn value(name: &str, written: &str, known: &[&str]) -> Option<String> {
    let meant = similar(written, known.iter().copied())?;
    Some(format!("did you mean \"{name}={meant}\"?"))
}

/// The parameter of `directive` that `parameter` may be a typing mistake of.
pub(super) fn parameter(directive: &str, parameter: &str) -> Option<String> {
    let known: &[&str] = match directive {
        "listen" => &[
            "backlog",
            "bind",
            "default_server",
            "deferred",
            "fastopen",
            "ipv6only",
            "multipath",
            "proxy_protocol",
            "rcvbuf",
            "reuseport",
            "sndbuf",
            "so_keepalive",
        ],
        "server" => &[
            "backup",
            "down",
            "fail_timeout",
            "max_conns",
            "max_fails",
            "resolve",
            "service",
            "slow_start",
            "weight",
        ],
        "hash" => &["consistent"],
        "health_check" => match parameter.split_once('=') {
            Some(("type", kind)) => return value("type", kind, CHECK_KINDS),
            _ => CHECK_PARAMETERS,
        },
        "error_log" => &[
            "debug", "info", "notice", "warn", "error", "crit", "alert", "emerg",
        ],
        _ => return None,
    };
    let name = parameter.split('=').next().unwrap_or_default();
    if known.contains(&name) {
        return None;
    }
    let begins = |known: &&&str| name.len() > 2 && known.starts_with(name);
    let begun = known.iter().find(begins).copied();
    begun
        .or_else(|| similar(name, known.iter().copied()))
        .map(|meant| format!("did you mean \"{meant}\"?"))
}
