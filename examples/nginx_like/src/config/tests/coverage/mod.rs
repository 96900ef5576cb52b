//! COVERAGE.md: what became of every directive of nginx, generated from the tables of the directives.
//!
//! `LB_WRITE_COVERAGE=1 cargo test -p nginx_like --lib coverage` writes the file again.

mod nginx;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use nginx::MODULES;

use crate::config::events::EventsBlock;
use crate::config::main::MainBlock;
use crate::config::server::ServerBlock;
use crate::config::stream::StreamBlock;
use crate::config::unsupported;
use crate::config::upstream::block::UpstreamBlock;
use crate::syntax::directive::Block;

/// A kind of block.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum StandsIn {
    Main,
    Events,
    Stream,
    Server,
    Upstream,
}

/// Why directives have no effect, by their names or starts of their names.
const REASONS: &[(&str, &str)] = &[
    (
        "accept_mutex*",
        "each worker has listening sockets of its own",
    ),
    (
        "debug_connection",
        "`error_log … debug` logs all connections",
    ),
    ("debug_points", "there are none"),
    (
        "epoll_events",
        "how many events are taken at a time is fixed",
    ),
    ("env", "the process keeps its environment"),
    ("http", "other protocols are not served"),
    ("load_module", "all modules are built in"),
    ("lock_file", "there are no such locks"),
    ("mail", "other protocols are not served"),
    ("map_hash_*", "tables size themselves"),
    ("master_process", "the workers are threads of one process"),
    (
        "proxy_ssl*",
        "servers get no TLS: `proxy_ssl on` is an error",
    ),
    ("quic_bpf", "QUIC belongs to HTTP"),
    ("ssl_*", "clients get no TLS: `listen … ssl` is an error"),
    (
        "multi_accept",
        "a worker accepts in batches of its own size",
    ),
    ("pcre_jit", "regular expressions are compiled once"),
    ("proxy_buffer_size", "buffers size themselves"),
    ("proxy_downstream_buffer", "buffers size themselves"),
    ("proxy_requests", "it counts for UDP only"),
    ("proxy_responses", "it counts for UDP only"),
    ("proxy_upstream_buffer", "buffers size themselves"),
    ("rtmp", "other protocols are not served"),
    ("server_names_hash_*", "tables size themselves"),
    ("thread_pool", "no file is read while serving"),
    ("timer_resolution", "the clock is read when it is needed"),
    ("types", "it belongs to HTTP"),
    ("variables_hash_*", "tables size themselves"),
    ("worker_aio_requests", "no file is read while serving"),
    ("worker_cpu_affinity", "the kernel places the workers"),
    ("working_directory", "core files go where the system says"),
    ("zone", "the workers share their state anyway"),
];

/// Directives without effect that the tables do not mark as such: their arguments are checked, or their block is skipped.
const READ_WITHOUT_EFFECT: &[&str] = &[
    "accept_mutex",
    "http",
    "mail",
    "multi_accept",
    "proxy_ssl",
    "rtmp",
    "types",
    "zone",
];

/// Directives of nginx_like that nginx does not have.
const OURS: &[(&str, &str)] = &[
    (
        "kubernetes",
        "servers of a Service of Kubernetes, or of nodes at its port",
    ),
    (
        "kubernetes_pods",
        "servers of the pods with a label, on ports of their nodes",
    ),
    (
        "lb_admin",
        "an HTTP server for operators: metrics, status, explanations, sessions, drain and weight",
    ),
    (
        "lb_close_spread",
        "the time over which a shutdown resets the sessions that are left",
    ),
    (
        "lb_error_log_rate",
        "whether lines about a storm of failures are counted instead of written",
    ),
    (
        "lb_essential",
        "whether the readiness waits for the upstream",
    ),
    (
        "lb_forgive",
        "whether servers that failed because this machine was cut off are used again at once",
    ),
    (
        "lb_orphan_timeout",
        "how long sessions outlast the address that their clients connected to",
    ),
    (
        "lb_ready_file",
        "a file with a number that says whether the process is ready",
    ),
    (
        "lb_state",
        "a file from which the next process begins while name servers and the API server are dead",
    ),
    (
        "lb_upgrade_timeout",
        "how long a new binary may take to become ready",
    ),
    (
        "lb_withdraw_command",
        "a command that a shutdown waits for after it is not ready any more",
    ),
    (
        "lb_withdraw_delay",
        "how long a shutdown waits after it is not ready any more",
    ),
    (
        "lb_withdraw_timeout",
        "how long `lb_withdraw_command` may take",
    ),
];

/// The reason why a directive has no effect, if there is one.
fn reason(name: &str) -> Option<&'static str> {
    if name == "ssl_preread" {
        return None;
    }
    let mut reasons = REASONS.iter();
    let found = reasons.find(|(known, _)| unsupported::is(known, name));
    found.map(|(_, reason)| *reason)
}

fn of<B: Block>(block: StandsIn) -> impl Iterator<Item = (StandsIn, &'static str, bool)> {
    B::directives().map(move |directive| {
        let name = directive.name;
        let is_without_effect = directive.is_without_effect || READ_WITHOUT_EFFECT.contains(&name);
        (block, name, is_without_effect)
    })
}

/// The directives of nginx_like: the block, the name, and whether it has no effect.
fn tables() -> Vec<(StandsIn, &'static str, bool)> {
    let all = of::<MainBlock>(StandsIn::Main).chain(of::<EventsBlock>(StandsIn::Events));
    let all = all.chain(of::<StreamBlock>(StandsIn::Stream));
    let all = all.chain(of::<ServerBlock>(StandsIn::Server));
    all.chain(of::<UpstreamBlock>(StandsIn::Upstream)).collect()
}

/// The directives of nginx.
fn directives() -> impl Iterator<Item = &'static str> {
    let all = MODULES.iter().flat_map(|(_, directives)| *directives);
    all.map(|(name, _)| *name)
}

/// The status of a directive, and what there is to say about it.
fn status(name: &str, blocks: &[StandsIn]) -> (&'static str, String) {
    let tables = tables();
    // It is in no table, because every block allows it.
    let has = |block: &&StandsIn| {
        name == "include" || tables.iter().any(|(b, n, _)| b == *block && *n == name)
    };
    let missing: Vec<_> = blocks.iter().filter(|block| !has(block)).collect();
    if missing.len() == blocks.len() {
        let instead = unsupported::instead_of(name);
        let instead = instead.unwrap_or_else(|| panic!("{name} is nowhere"));
        return ("never", instead.to_owned());
    }
    assert!(missing.is_empty(), "{name} is missing in {missing:?}");
    let mut found = tables.iter().filter(|(_, known, _)| *known == name);
    if found.any(|(_, _, is_without_effect)| *is_without_effect) {
        let reason = reason(name).unwrap_or_else(|| panic!("{name} has no effect, and no reason"));
        return ("without effect", reason.to_owned());
    }
    ("supported", String::new())
}

/// The text of the file.
fn page() -> String {
    let mut text = "\
# Coverage of nginx's stream language

Every directive of nginx 1.31 that may stand in a file with a `stream` block, those that nginx sells included. [README.md](README.md)
says where a supported directive differs. A test writes this file from the tables of the directives.

- **supported**: it means what it means in nginx.
- **without effect**: accepted, because it only tunes how nginx works inside; `-t` warns of it.
- **never**: an error that says what to do instead.

The last table has the directives that nginx does not have.

TLS is not ended: `listen … ssl` and `proxy_ssl on` are refused, and other directives of TLS have no effect. UDP is not balanced: `listen … udp` is refused.

"
    .to_owned();
    let mut counts = [("supported", 0), ("without effect", 0), ("never", 0)];
    let mut rows = String::new();
    for (module, directives) in MODULES {
        rows += &format!("\n## {module}\n\n| directive | in | | |\n|---|---|---|---|\n");
        for (name, blocks) in *directives {
            let (status, note) = status(name, blocks);
            counts
                .iter_mut()
                .filter(|(known, _)| *known == status)
                .for_each(|(_, count)| *count += 1);
            let blocks: Vec<_> = blocks
                .iter()
                .map(|block| format!("{block:?}").to_lowercase())
                .collect();
            rows += &format!(
                "| `{name}` | {} | {status} | {} |\n",
                blocks.join(", "),
                code(&note)
            );
        }
    }
    rows += "\n## nginx_like's own\n\n| directive | in | |\n|---|---|---|\n";
    for (name, what) in OURS {
        let tables = tables().into_iter();
        let blocks: BTreeSet<_> = tables
            .filter(|(_, known, _)| known == name)
            .map(|(block, ..)| block)
            .collect();
        assert!(!blocks.is_empty(), "{name} is nowhere");
        let blocks: Vec<_> = blocks
            .iter()
            .map(|block| format!("{block:?}").to_lowercase())
            .collect();
        rows += &format!("| `{name}` | {} | {what} |\n", blocks.join(", "));
    }
    let counts = counts.map(|(status, count)| format!("{count} {status}"));
    text += &format!("{}.\n", counts.join(", "));
    text + &rows
}

/// Words in quotes as code.
fn code(text: &str) -> String {
    text.replace('"', "`")
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("COVERAGE.md");
    if env::var_os("LB_WRITE_COVERAGE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differs = written
        .lines()
        .zip(page().lines().map(str::to_owned).collect::<Vec<_>>());
    for (written, expected) in differs {
        assert_eq!(
            written, expected,
            "write COVERAGE.md again by LB_WRITE_COVERAGE=1"
        );
    }
    let is_whole = written == page();
    assert!(is_whole, "write COVERAGE.md again by LB_WRITE_COVERAGE=1");
}

#[test]
fn every_directive_of_the_tables_is_one_of_nginx_or_of_our_own() {
    let known: BTreeSet<_> = directives()
        .chain(OURS.iter().map(|(name, _)| *name))
        .collect();
    for (_, name, _) in tables() {
        assert!(
            known.contains(name),
            "{name} is not in the list of nginx's directives"
        );
    }
}

#[test]
fn exactly_the_directives_without_effect_have_a_reason() {
    let tables = tables();
    for (block, name, is_without_effect) in &tables {
        let has_reason = reason(name).is_some();
        assert_eq!(has_reason, *is_without_effect, "{name} in {block:?}");
    }
    let names = READ_WITHOUT_EFFECT
        .iter()
        .chain(REASONS.iter().map(|(known, _)| known));
    for known in names {
        let mut read = tables.iter();
        assert!(
            read.any(|(_, name, _)| unsupported::is(known, name)),
            "{known}"
        );
    }
}

#[test]
fn every_directive_that_is_refused_is_one_of_nginx() {
    // Files have those of HTTP in a stream block by mistake. geoip2 is a module that distributions package.
    let others = ["geoip2*", "ntlm", "queue", "sticky"];
    for known in unsupported::known().filter(|known| !others.contains(known)) {
        assert!(
            directives().any(|name| unsupported::is(known, name)),
            "{known}"
        );
    }
}
