//! The cost of parsing the first bytes of a connection: `cargo bench first_bytes`.
//!
//! - `first_bytes/proxy_header/<kind>`: a PROXY protocol header to its addresses;
//! - `first_bytes/client_hello/<client>`: a ClientHello to its server name and protocols.
//!
//! The inputs are the seeds of lb-proxy's fuzz targets, without their first byte: headers of all kinds, ClientHellos of real
//! clients.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_proxy::client_hello::{self, ClientHello};
use lb_proxy::first_bytes::ParseStatus;
use lb_proxy::proxy_protocol::{self, ProxyHeader};

macro_rules! seeds {
    ($target:literal, $($name:literal),+) => {
        [$(($name, include_bytes!(concat!("../lb-proxy/fuzz/seeds/", $target, "/", $name)) as &[u8])),+]
    };
}

const HEADERS: [(&str, &[u8]); 6] = seeds!(
    "proxy_header",
    "tcp4_line",
    "tcp6_line",
    "local",
    "tcp6",
    "tcp4_tlvs",
    "tcp4_checksum"
);

const HELLOS: [(&str, &[u8]); 4] =
    seeds!("client_hello", "tls12", "tls13", "chrome", "three_records");

fn proxy_header(c: &mut Criterion) {
    measure(
        c,
        "first_bytes/proxy_header",
        &HEADERS,
        |bytes| match ProxyHeader::parse(bytes, proxy_protocol::DEFAULT_LIMIT) {
            Ok(ParseStatus::Complete(header)) => header.addresses,
            other => panic!("{other:?}"),
        },
    );
}

fn client_hello(c: &mut Criterion) {
    measure(
        c,
        "first_bytes/client_hello",
        &HELLOS,
        |bytes| match ClientHello::parse(bytes, client_hello::DEFAULT_LIMIT) {
            Ok(ParseStatus::Complete(hello)) => (
                hello.server_name().map(|name| name.len()),
                hello.alpn().count(),
            ),
            other => panic!("{other:?}"),
        },
    );
}

/// Measures `parse` on each of `seeds`.
fn measure<T>(c: &mut Criterion, group: &str, seeds: &[(&str, &[u8])], parse: impl Fn(&[u8]) -> T) {
    let mut group = c.benchmark_group(group);
    for &(name, seed) in seeds {
        let bytes = &seed[1..];
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse(black_box(bytes))));
    }
    group.finish();
}

criterion_group!(benches, proxy_header, client_hello);
criterion_main!(benches);
