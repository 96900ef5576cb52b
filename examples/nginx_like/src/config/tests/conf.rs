//! The files in `conf`.

use std::path::Path;

use crate::config::main::{Config, WorkerProcesses};
use crate::config::upstream::method::Method;
use crate::syntax::address::Host;

fn load(name: &str) -> Config {
    let prefix = Path::new(env!("CARGO_MANIFEST_DIR"));
    Config::load(&Path::new("conf").join(name), prefix).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_configuration_of_the_article() {
    let config = load("article.conf");
    assert_eq!(config.warnings, []);
    assert_eq!(config.user, None);
    assert_eq!(config.worker_processes, WorkerProcesses::Auto);
    assert_eq!(config.worker_connections.get(), 1024);
    let stream = config.stream.unwrap();
    let [server] = &stream.servers[..] else {
        panic!("one server");
    };
    assert_eq!(server.listens[0].addr.to_string(), "0.0.0.0:446");
    let upstream = &stream.upstreams[server.upstream.unwrap()];
    assert_eq!(upstream.method, Method::RoundRobin);
    let hosts: Vec<_> = upstream
        .servers
        .iter()
        .map(|server| (server.host.clone(), server.port))
        .collect();
    let node = |number| (Host::Name(format!("node{number}.example.com")), 446);
    assert_eq!(hosts, [node(1), node(2), node(3)]);
}

#[test]
fn the_configuration_with_all_directives() {
    let config = load("all.conf");
    let stream = config.stream.unwrap();
    let methods: Vec<_> = stream
        .upstreams
        .iter()
        .map(|upstream| upstream.method.clone())
        .collect();
    let [
        Method::RoundRobin,
        Method::LeastConn,
        Method::Random,
        Method::RandomTwo,
        Method::Hash {
            consistent: false, ..
        },
        Method::Hash {
            consistent: true, ..
        },
        Method::Hash {
            consistent: false, ..
        },
        Method::LeastTime { .. },
        Method::RoundRobin,
        Method::RoundRobin,
        Method::RoundRobin,
        Method::RoundRobin,
        Method::RoundRobin,
    ] = &methods[..]
    else {
        panic!("{methods:?}");
    };
    let upstreams: Vec<_> = stream
        .servers
        .iter()
        .filter_map(|server| server.upstream)
        .collect();
    assert_eq!(
        upstreams,
        [0, 1, 2, 3, 4, 5, 7, 6, 8, 9, 0, 0, 11, 0, 0, 0, 0, 12]
    );
    assert_eq!(stream.upstreams[0].checks.len(), 6);
    for warning in config.warnings {
        let text = warning.to_string();
        let expected = [" has no effect here in ", " is skipped and not served in "];
        assert!(expected.iter().any(|end| text.contains(end)), "{text}");
    }
}
