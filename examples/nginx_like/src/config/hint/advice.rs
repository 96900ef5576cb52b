//! Advice for errors with nginx's words, by these words: several modules have the same error.

use super::similar::similar;

pub(super) const TIME: &str = "a time is a number with a unit, such as 500ms, 30s, 5m or 1h30m";
const INTERVAL: &str = "an interval is a time of at least 10ms, such as 500ms, 5s or 1m";
const BYTES: &str = "a byte is \\x and two hexadecimal digits, as in \\x0d\\x0a";
const SCHEME: &str = "write the host and the port alone, without \"http://\" or \"tcp://\"";

/// A directive or none, how its error begins, and what to do.
#[rustfmt::skip]
const BY_MESSAGE: &[(&str, &str, &str)] = &[
    ("allow", "invalid parameter", "clients are an address, a network such as 10.0.0.0/8, \"unix:\" or \"all\""),
    ("deny", "invalid parameter", "clients are an address, a network such as 10.0.0.0/8, \"unix:\" or \"all\""),
    ("set_real_ip_from", "invalid parameter", "a proxy is an address, a network such as 10.0.0.0/8, a host name or \"unix:\""),
    ("lb_admin", "\"lb_admin\" directive is duplicate", "there is one admin server: keep one \"lb_admin\", on an IP address or a unix socket"),
    ("lb_admin", "invalid host in \"localhost:", "write the address instead of the name, as in 127.0.0.1:9446"),
    ("lb_admin", "invalid host in \"/", "write \"unix:\" in front of a path, as in unix:/run/lb.sock"),
    ("lb_admin", "no port in \"/", "write \"unix:\" in front of a path, as in unix:/run/lb.sock"),
    ("lb_admin", "invalid port in \"/", "write \"unix:\" in front of a path, as in unix:/run/lb.sock"),
    ("lb_admin", "invalid parameter", "behind its address it takes \"token=FILE\", \"allow=NETWORK\", \"host=NAME\" and \"group=NAME\""),
    ("lb_ready_file", "invalid parameter", "behind its path it takes the numbers \"ready=\", \"not_ready=\" and \"leaving=\", and \"heartbeat=TIME\" of at least 10ms"),
    ("lb_state", "invalid parameter", "behind its path it takes \"interval=TIME\" and \"max_age=TIME\", each at least 100ms"),
    ("health_check", "invalid parameter \"type=", "the types are \"tcp\", \"http\", \"tls\", \"agent\" and \"node_port\""),
    ("health_check", "invalid parameter \"interval=", INTERVAL),
    ("health_check", "invalid parameter \"fast_interval=", INTERVAL),
    ("health_check", "invalid parameter \"down_interval=", INTERVAL),
    ("health_check", "invalid parameter \"jitter=", TIME),
    ("health_check", "invalid parameter \"fails=", "it is a number of probes, at least 1"),
    ("health_check", "invalid parameter \"passes=", "it is a number of probes, at least 1"),
    ("health_check", "invalid parameter \"port=", "a port is a number from 1 to 65535"),
    ("health_check", "invalid parameter \"status=", "statuses are numbers and ranges, as in 200-299,301"),
    ("health_check", "invalid parameter \"mandatory=", "\"mandatory\" and \"persistent\" take no value"),
    ("health_check", "invalid parameter \"persistent=", "\"mandatory\" and \"persistent\" take no value"),
    ("health_check", "invalid parameter \"persistent\"", "it belongs to \"mandatory\": write both"),
    ("health_check", "invalid parameter \"timeout=", "the time that a probe may take is a directive of its own: \"health_check_timeout 2s;\" beside \"health_check\""),
    ("health_check", "invalid parameter \"rise=", "as in NGINX Plus it is \"passes=\": so many probes in a row make a server healthy"),
    ("health_check", "invalid parameter \"fall=", "as in NGINX Plus it is \"fails=\": so many failed probes in a row make a server unhealthy"),
    ("health_check", "invalid parameter", "it takes \"interval=\", \"fast_interval=\", \"down_interval=\", \"jitter=\", \"fails=\", \"passes=\", \"port=\", \"type=\", \"mandatory\", \"persistent\", and by type \"match=\", \"send=\", \"expect=\", \"uri=\", \"host=\", \"status=\" and \"sni=\""),
    ("health_check", "invalid value", BYTES),
    ("send", "invalid value", BYTES),
    ("expect", "invalid value", BYTES),
    ("access_log", "invalid interim time", "it is a time of at least 1s, such as 30s or 5m"),
    ("", "balancing method does not support parameter \"backup\"", "as in nginx, \"hash\" and \"random\" use no backups: leave \"backup\" out, or balance by \"least_conn\", \"least_time\" or round robin, which do"),
    ("", "balancing method does not support parameter \"slow_start=", "as in nginx, servers of \"hash\" and \"random\" have their whole share at once: leave \"slow_start=\" out, or balance by \"least_conn\", \"least_time\" or round robin"),
    ("hash", "invalid parameter", "the only parameter is \"consistent\""),
    ("random", "invalid parameter", "it takes nothing, \"two\" or \"two least_conn\""),
    ("least_time", "invalid value", "the time is \"connect\", \"first_byte\" or \"last_byte\""),
    ("least_time", "invalid parameter", "the only parameter is \"inflight\""),
    ("server", "invalid parameter \"weight=", "a weight is a number from 1 to 65535"),
    ("server", "invalid parameter \"max_", "it is a number; 0 sets no limit"),
    ("server", "invalid parameter \"fail_timeout=", TIME),
    ("server", "invalid parameter \"slow_start=", TIME),
    ("server", "invalid parameter \"", "behind its address a server takes \"backup\", \"down\", \"resolve\", \"fail_timeout=\", \"max_conns=\", \"max_fails=\", \"service=\", \"slow_start=\" and \"weight=\""),
    ("server", "directive \"server\" has no opening", "in \"stream\" a \"server\" is a block with \"listen\" and \"proxy_pass\"; servers that take connections stand in \"upstream\""),
    ("error_log", "invalid log level", "the levels are debug, info, notice, warn, error, crit, alert and emerg"),
    ("resolver", "invalid parameter: valid=", TIME),
    ("worker_processes", "\"worker_processes\" directive", "it takes a number, or \"auto\" for one of each processor"),
    ("proxy_bind", "invalid address", "it takes an IP address with or without a port, \"$remote_addr transparent\", or \"off\""),
    ("proxy_protocol", "invalid value", "it may also be \"v2\", for the binary form; \"on\" is the text form"),
    ("listen", "the invalid \"proxy_protocol=", "\"proxy_protocol\" takes no value: both versions are read"),
    ("listen", "the invalid \"http2", "HTTP passes through unchanged: remove it"),
    ("listen", "the invalid \"quic", "nginx_like balances TCP alone: leave this \"server\" to nginx"),
    ("", "zero size shared memory zone", "no \"limit_conn_zone\" has this name; one is made by \"limit_conn_zone $binary_remote_addr zone=NAME:1m;\""),
    ("", "invalid zone size", "a zone has a size, as in \"zone=NAME:1m\""),
    ("", "zone \"", "a zone has at least 32k"),
    ("", "unknown log format \"json\"", "the built-in format for JSON is \"lb_json\""),
    ("", "unknown log format", "no \"log_format\" has this name; one is made by \"log_format NAME '$remote_addr $status';\""),
    ("", "log format is not specified", "write the name of a \"log_format\" behind the file: \"stream\" has no \"combined\""),
    ("", "invalid variable name \"", "the name of a variable begins with \"$\""),
    ("", "invalid number of the map parameters", "a line is a value and its result; a text with spaces stands in quotes"),
    ("", "invalid number of the geo parameters", "a line is a network and its value; a text with spaces stands in quotes"),
    ("", "invalid number of the split_clients parameters", "a line is a share and its value; a text with spaces stands in quotes"),
    ("", "invalid percent value", "a share is a percentage such as 0.5%, or \"*\" for the rest"),
    ("", "invalid range", "a range is two IPv4 addresses, the lower one first, as in 10.0.0.1-10.0.0.9"),
    ("", "invalid network \"proxy\"", "\"proxy\" belongs to the \"geo\" of HTTP: \"set_real_ip_from\" names the proxies whose PROXY header counts"),
    ("", "invalid network", "a network is an address and the length of its prefix, as in 10.0.0.0/8 or 2001:db8::/32"),
    ("", "no servers in upstream", "all of its servers are \"backup\": at least one must not be"),
];

/// What to do about the error `message` of `directive`, if its words say which error it is.
pub(super) fn advice(directive: &str, message: &str) -> Option<String> {
    let quoted = message.split('"').nth(1).unwrap_or_default();
    if directive == "lb_admin" && quoted == "off" {
        let text = "leave \"lb_admin\" out: without it there is no admin server";
        return Some(text.to_owned());
    }
    if let Some(name) = message.strip_prefix("unknown log format \"") {
        let name = name.split('"').next().unwrap_or_default();
        if let Some(meant) = similar(name, ["lb_json"].into_iter()) {
            return Some(format!("did you mean \"{meant}\"?"));
        }
    }
    if message.starts_with("no port in") {
        return Some(no_port(directive, quoted));
    }
    if message.starts_with("invalid host in") && quoted.contains("://") {
        return Some(SCHEME.to_owned());
    }
    if message.starts_with("invalid port in upstream") && quoted.contains(',') {
        let text = "several servers stand in an \"upstream\" block, one statement each";
        return Some(text.to_owned());
    }
    if message.starts_with("the regular expression") {
        // As in [\w-.], which some versions of PCRE take.
        if message.ends_with("invalid range boundary, must be a literal") {
            let text = "in a character class, write \"-\" last, or as \"\\-\"";
            return Some(text.to_owned());
        }
        return instead_of_look_ahead(directive).map(str::to_owned);
    }
    let known = BY_MESSAGE
        .iter()
        .find(|(of, begin, _)| (of.is_empty() || *of == directive) && message.starts_with(begin));
    known.map(|(_, _, hint)| (*hint).to_owned())
}

fn no_port(directive: &str, host: &str) -> String {
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    match directive {
        "server" | "listen" => format!("it needs a port, as in \"{host}:443\""),
        _ if is_address => format!("an address needs a port, as in \"{host}:443\""),
        _ => format!(
            "no \"upstream\" block has the name \"{host}\"; a host needs a port, as in \"{host}:443\""
        ),
    }
}

/// `line` is the pattern of a line in a `map`. Only there the lines in front decide first.
fn instead_of_look_ahead(line: &str) -> Option<&'static str> {
    let is_negative = line.starts_with('~') && (line.contains("(?!") || line.contains("(?<!"));
    is_negative.then_some(
        "the first regular expression of a \"map\" that matches decides: put one of what must not match in front of this line, \
         with the result of the default, and leave the look-around out",
    )
}
