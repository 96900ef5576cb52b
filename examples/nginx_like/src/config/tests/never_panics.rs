//! No text makes the reader panic, however odd.

use std::path::Path;

use proptest::prelude::*;

use crate::config::main::Config;

const VALID: &str = include_str!("../../../conf/all.conf");

/// Words that get deep into the reader. There is no `include`, which would read real files.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    ";", ";", ";", "{", "{", "}", "}", "\n", "\"", "'", "\\", "#", "$", "${", " ", "", "=", ":", "é", "\u{0}", "-1",
    "0", "1", "446", "65536", "99999999999999999999", "on", "off", "auto", "64k", "10s", "500ms", "1y", "u",
    "10.0.0.1", "10.0.0.1:446", "[::1]:446", "[::]:446", "[", "]", "*:446", "*", "a.example.com:446", "unix:",
    "user", "worker_processes", "worker_rlimit_nofile", "error_log", "stderr", "pid", "daemon", "load_module",
    "events", "worker_connections", "use", "epoll", "http", "stream", "stream {", "stream { server {",
    "stream { upstream u {", "upstream", "server", "weight=", "weight=2", "max_fails=", "fail_timeout=",
    "max_conns=", "backup", "down", "resolve", "least_conn", "random", "two", "zone", "hash", "listen",
    "listen 446;", "backlog=", "ipv6only=", "reuseport", "ssl", "proxy_pass", "proxy_pass u;",
    "proxy_pass 10.0.0.1:446;", "proxy_timeout", "proxy_next_upstream_tries", "resolver", "valid=", "ipv4=off",
    "ipv6=off", "resolver_timeout", "kubernetes", "kubernetes_pods", "default/echo", "a/b=c", "port=", "port=446",
    "address=node", "kubeconfig=a", "context=",
    "map", "map $remote_addr $a {", "geo $a {", "ranges;", "delete", "10.0.0.1-10.0.0.9 a;", "10.0.0.0/8 a;", "/",
    "split_clients $a $b {", "10.5%", "*%", "hostnames;", "volatile;", "default", "default $a;", "~(", "~^(?<a>.*)$ $1;", "~*",
    "*.a", ".a", "\\", "${a}", "$1", "$a", "set", "set $a", "hash $a;", "$ssl_preread_server_name", "$proxy_protocol_tlv_",
];

/// One change of a text: replace some bytes by others.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    removed: usize,
    added: Vec<u8>,
}

fn edit() -> impl Strategy<Value = Edit> {
    let word = prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
    let added = prop_oneof![word, prop::collection::vec(any::<u8>(), 0..4)];
    (any::<prop::sample::Index>(), 0_usize..40, added).prop_map(|(at, removed, added)| Edit {
        at,
        removed,
        added,
    })
}

/// Reads a text. An error must have a place in the text.
fn read(text: &[u8]) {
    if let Err(error) = Config::parse(Path::new("test.conf"), text, Path::new("/nonexistent")) {
        let lines = 1 + text.iter().filter(|byte| **byte == b'\n').count();
        let span = error.span().unwrap();
        assert!((1..=lines).contains(&span.line), "{error}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes(text in prop::collection::vec(any::<u8>(), 0..500)) {
        read(&text);
    }

    #[test]
    fn arbitrary_words(words in prop::collection::vec(prop::sample::select(WORDS), 0..60)) {
        read(words.join(" ").as_bytes());
        read(words.concat().as_bytes());
    }

    #[test]
    fn mutations_of_a_valid_file(edits in prop::collection::vec(edit(), 1..4)) {
        let mut text = VALID.as_bytes().to_vec();
        for edit in edits {
            let start = edit.at.index(text.len());
            let end = text.len().min(start + edit.removed);
            text.splice(start..end, edit.added);
        }
        read(&text);
    }
}
