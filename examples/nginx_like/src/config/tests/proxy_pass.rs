//! Servers and their upstreams.

use super::{secs, stream};
use crate::config::handler::Handler;
use crate::config::upstream::method::Method;
use crate::syntax::address::Host;

#[test]
fn servers_find_their_upstream() {
    let stream = stream(
        "server { listen 1; proxy_pass LATER; }
         upstream earlier { server a:1; }
         upstream later { server a:1; }
         server { listen 2; proxy_pass earlier; }",
    );
    let found: Vec<_> = stream
        .servers
        .iter()
        .map(|server| server.upstream.unwrap())
        .collect();
    assert_eq!(found, [1, 0]);
}

#[test]
fn a_host_in_proxy_pass_is_an_upstream() {
    let stream = stream(
        "upstream u { server a:1; }
         server { listen 1; proxy_pass a:446; }
         server { listen 2; proxy_pass 10.0.0.1:446; }
         server { listen 3; proxy_pass a:446; }
         server { listen 4; proxy_pass a:446; resolver 10.0.0.53; resolver_timeout 1s; }",
    );
    let found: Vec<_> = stream
        .servers
        .iter()
        .map(|server| server.upstream.unwrap())
        .collect();
    assert_eq!(
        found,
        [1, 2, 1, 1],
        "they share an upstream, and the system looks its name up whatever the resolver is"
    );
    let upstream = &stream.upstreams[1];
    assert_eq!(
        (upstream.name.as_str(), &upstream.method),
        ("a:446", &Method::RoundRobin)
    );
    assert_eq!(
        (&upstream.servers[0].host, upstream.servers[0].port),
        (&Host::Name("a".to_owned()), 446)
    );
    assert_eq!(upstream.servers.len(), 1);
    assert!(upstream.resolver.is_none() && !upstream.servers[0].resolve);
}

/// As in nginx: what a variable names is looked up at run time.
#[test]
fn the_resolver_looks_up_what_a_map_names() {
    let stream = stream(
        "resolver 10.0.0.53; resolver_timeout 5s;
         map $ssl_preread_server_name $name {
             a.test b:446; b.test 10.0.0.1:446; default a:446;
         }
         server { listen 1; ssl_preread on; proxy_pass $name; }
         server { listen 2; ssl_preread on; proxy_pass $name; resolver 10.0.0.54; }
         server { listen 3; proxy_pass a:446; }
         server { listen 4; proxy_pass 10.0.0.1:446; }",
    );
    let name_servers = |index: usize| {
        let upstream = &stream.upstreams[index];
        assert_eq!(upstream.servers[0].resolve, upstream.resolver.is_some());
        let resolver = upstream.resolver.as_ref()?;
        Some(resolver.name_servers[0].to_string())
    };
    let [outer, own, system, address] = &stream.servers[..] else {
        panic!("four servers");
    };
    for (server, expected) in [(outer, "10.0.0.53:53"), (own, "10.0.0.54:53")] {
        let by_name = &server.by_name;
        for index in [server.upstream.unwrap(), *by_name.find("a.test").unwrap()] {
            assert_eq!(name_servers(index).as_deref(), Some(expected));
            assert_eq!(stream.upstreams[index].resolver_timeout, secs(5));
        }
        // An address is not looked up at all.
        assert_eq!(by_name.find("b.test"), Some(&address.upstream.unwrap()));
    }
    assert_eq!(name_servers(system.upstream.unwrap()), None);
    assert_eq!(name_servers(address.upstream.unwrap()), None);
}

#[test]
fn a_map_names_upstreams() {
    let stream = stream(
        "map $ssl_preread_server_name $name {
             hostnames; volatile;
             a.example.com one; *.example.com 10.0.0.2:446;
             \\default.test one;
             default TWO;
         }
         upstream one { server 10.0.0.1:446; }
         upstream two { server 10.0.0.1:446; }
         server { listen 1; ssl_preread on; proxy_pass $NAME; }
         server { listen 2; proxy_pass $name; }",
    );
    let [first, second] = &stream.servers[..] else {
        panic!("two servers");
    };
    let to = |name: &str| {
        let upstream = first
            .by_name
            .find(name)
            .or(first.upstream.as_ref())
            .unwrap();
        stream.upstreams[*upstream].name.as_str()
    };
    assert_eq!(to("A.example.com"), "one");
    assert_eq!(to("b.example.com"), "10.0.0.2:446");
    assert_eq!(to("default.test"), "one");
    assert_eq!(to("other.test"), "two");
    // Servers share what a map makes.
    assert_eq!(stream.upstreams.len(), 3);
    assert_eq!(second.by_name.find("b.example.com"), Some(&2));
}

#[test]
fn names_of_name_servers_are_looked_up_while_the_configuration_is_read() {
    let stream = stream("server { listen 1; proxy_pass $remote_addr:1; resolver localhost:5353; }");
    let Handler::Proxy(_, names) = &stream.servers[0].handler else {
        panic!("no name of the value is known");
    };
    let servers = &names.resolver.as_ref().unwrap().name_servers;
    let is_loopback = |addr: &std::net::SocketAddr| addr.ip().is_loopback() && addr.port() == 5353;
    assert!(
        !servers.is_empty() && servers.iter().all(is_loopback),
        "{servers:?}"
    );
}
