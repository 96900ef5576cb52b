#!/usr/bin/env bash
# hickory-resolver 0.26.3 (crates.io), lookups through a server that answers with one alias (CNAME record) at a time.
#
# Belief:    A resolver that gives up on a long chain of aliases fails, so that "no records" can be taken as the word of
#            the name's server: the name exists and has no address.
# Behaviour: The resolver follows seven aliases. At the eighth it returns NoRecordsFound with the response code of the
#            last answer, NoError. A program that removes what DNS no longer has removes a working set. Whether that
#            happens depends on the cache: a part of the chain that was looked up before does not count.
# Output seen (the last lines of this script):
#   7 aliases: 192.0.2.1
#   8 aliases: no records, NoError
#   8 aliases, 7 of them cached: 192.0.2.1
#
# Needs Rust and its package registry. Traffic stays on loopback. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use std::net::{SocketAddr, UdpSocket};
use std::thread;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};

/// Answers every question for `aN.test` with its alias `a(N-1).test`, and for `a0.test` with its address.
fn serve(socket: UdpSocket) {
    let mut buf = [0; 512];
    while let Ok((len, client)) = socket.recv_from(&mut buf) {
        let question = &buf[..len];
        // A header, the label "aN", the label "test", the root, type and class.
        let label = &question[13..13 + usize::from(question[12])];
        let number: u32 = str::from_utf8(&label[1..]).unwrap().parse().unwrap();
        let end = 13 + label.len() + 6 + 4;
        let mut answer = question[..end].to_vec();
        answer[2..4].copy_from_slice(&[0x84, 0x00]);
        answer[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
        let data = match number {
            0 => vec![192, 0, 2, 1],
            _ => {
                let name = format!("a{}", number - 1);
                [&[name.len() as u8], name.as_bytes(), b"\x04test\0"].concat()
            }
        };
        let kind = if number == 0 { 1 } else { 5 };
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        answer.extend(data);
        socket.send_to(&answer, client).unwrap();
    }
}

fn resolver(server: SocketAddr) -> TokioResolver {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![udp]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.build().unwrap()
}

async fn lookup(resolver: &TokioResolver, aliases: u32) -> String {
    match resolver.ipv4_lookup(format!("a{aliases}.test.")).await {
        Ok(lookup) => lookup.answers().last().unwrap().data.to_string(),
        Err(NetError::Dns(DnsError::NoRecordsFound(found))) => {
            format!("no records, {:?}", found.response_code)
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    thread::spawn(|| serve(socket));
    println!("7 aliases: {}", lookup(&resolver(server), 7).await);
    println!("8 aliases: {}", lookup(&resolver(server), 8).await);
    let cached = resolver(server);
    lookup(&cached, 7).await;
    println!("8 aliases, 7 of them cached: {}", lookup(&cached, 8).await);
}
RUST
CARGO_TARGET_DIR="$dir/target" cargo build --quiet --manifest-path "$dir/Cargo.toml"
seen=$("$dir/target/debug/finding")
printf '%s\n' "$seen"
diff <(printf '%s\n' \
    '7 aliases: 192.0.2.1' \
    '8 aliases: no records, NoError' \
    '8 aliases, 7 of them cached: 192.0.2.1') <(printf '%s\n' "$seen")
