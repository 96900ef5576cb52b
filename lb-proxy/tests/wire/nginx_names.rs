//! The table of server names against the `map … hostnames` of a real nginx, which also reads our ClientHellos; where
//! `LB_TEST_NGINX` names it.

use std::io::{Read, Write};

use lb_proxy::client_hello::{ClientHello, DEFAULT_LIMIT};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::client_hello::{RECORDED, hello, server_name};
use crate::real::{Server, nginx_error};
use crate::server_names::{CONFLICTS, INVALID, name, pattern, table};

/// The number of tables, each with its own socket, and of names for each.
const TABLES: usize = 60;
const NAMES: usize = 30;

fn ask(nginx: &mut Server, number: usize, hello: &[u8]) -> String {
    let mut stream = nginx.connect(number);
    stream.write_all(hello).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn names_have_the_values_that_nginx_finds() {
    let mut runner = TestRunner::deterministic();
    let patterns = prop::collection::vec(pattern(), 1..12);
    let cases = (patterns, prop::collection::vec(name(), NAMES));
    let cases = prop::collection::vec(cases, TABLES).new_tree(&mut runner);
    let cases = cases.unwrap().current();
    let mut stream = String::new();
    for (number, (patterns, _)) in cases.iter().enumerate() {
        let (_, taken) = table(patterns.iter().map(String::as_str));
        let map = taken
            .iter()
            .map(|pattern| format!("{pattern} {pattern};"))
            .collect::<String>();
        stream += &format!(
            "map $ssl_preread_server_name $found{number} {{ hostnames; default none; {map} }}\n\
             server {{ listen unix:SOCKET{number}; ssl_preread on; return $found{number}; }}\n"
        );
    }
    let Some(mut nginx) = Server::nginx(&stream, &[]) else {
        return;
    };
    for (number, (patterns, names)) in cases.iter().enumerate() {
        let (table, taken) = table(patterns.iter().map(String::as_str));
        for name in names {
            let hello = hello(&[&server_name(name.as_bytes())]);
            let ours = table.find(name).copied().unwrap_or("none");
            assert_eq!(ask(&mut nginx, number, &hello), ours, "{name} in {taken:?}");
        }
    }
}

#[test]
fn nginx_accepts_the_same_patterns() {
    let map = |patterns: &[&str]| {
        let patterns = patterns.iter().map(|pattern| format!("\"{pattern}\" x;"));
        format!(
            "map $remote_addr $x {{ hostnames; {} }}",
            patterns.collect::<String>()
        )
    };
    for [first, second] in CONFLICTS {
        let Some(error) = nginx_error(&map(&[first, second])) else {
            return;
        };
        assert!(
            error.contains("conflicting parameter"),
            "{first} {second}: {error}"
        );
    }
    for pattern in INVALID {
        let error = nginx_error(&map(&[pattern])).unwrap();
        // To nginx a lone star is a name, which no host has.
        let expected = if pattern == "*" {
            ""
        } else {
            "invalid hostname or wildcard"
        };
        assert!(error.contains(expected), "{pattern}: {error}");
    }
}

/// nginx reads the same names in the ClientHellos of real clients.
#[test]
fn nginx_reads_the_same_names_in_recorded_hellos() {
    let stream = "server { listen unix:SOCKET0; ssl_preread on; return \
        '$ssl_preread_server_name $ssl_preread_alpn_protocols $ssl_preread_protocol'; }";
    let Some(mut nginx) = Server::nginx(stream, &[]) else {
        return;
    };
    for (name, stream) in RECORDED {
        let parsed = ClientHello::parse(stream, DEFAULT_LIMIT).unwrap();
        let hello = parsed.complete().unwrap();
        let protocols = hello
            .alpn()
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>();
        let host = hello.server_name().unwrap_or_default();
        let ours = format!("{host} {} {}", protocols.join(","), hello.version());
        assert_eq!(ask(&mut nginx, 0, stream), ours, "{name}");
    }
}
