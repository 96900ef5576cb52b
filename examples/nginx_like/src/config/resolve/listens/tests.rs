use std::path::Path;

use crate::config::main::Config;

/// The addresses without a socket of their own in a configuration with a server for each of `listens`.
fn without_socket(listens: &[&str]) -> Vec<String> {
    let server = |listen: &&str| format!("server {{ listen {listen}; return ''; }}");
    let servers: String = listens.iter().map(server).collect();
    let text = format!("stream {{ {servers} }}");
    let config = Config::parse(Path::new("test.conf"), text.as_bytes(), Path::new("")).unwrap();
    let servers = config.stream.unwrap().servers;
    let listens = servers.into_iter().flat_map(|server| server.listens);
    let unbound = listens.filter(|listen| !listen.has_socket);
    unbound
        .map(|listen| listen.endpoint().to_string())
        .collect()
}

#[test]
fn a_wildcard_accepts_for_the_addresses_of_its_port_that_set_no_option_of_the_socket() {
    for (listens, expected) in [
        (
            &["446", "127.0.0.1:446", "127.0.0.2:447"][..],
            &["127.0.0.1:446"][..],
        ),
        (&["127.0.0.1:446", "446"], &["127.0.0.1:446"]),
        (
            &["127.0.0.1:446 proxy_protocol default_server", "446"],
            &["127.0.0.1:446"],
        ),
        (&["127.0.0.1:446 bind", "446"], &[]),
        (&["127.0.0.1:446 backlog=9", "127.0.0.1:446", "446"], &[]),
        (&["127.0.0.1:446", "[::1]:446", "[::]:446"], &["[::1]:446"]),
        (
            &["127.0.0.1:446", "[::1]:446", "446", "[::]:446 ipv6only=off"],
            &["127.0.0.1:446", "[::1]:446", "0.0.0.0:446"],
        ),
        (&["446", "[::]:446"], &[]),
        (&["unix:/a", "446"], &[]),
    ] {
        assert_eq!(without_socket(listens), expected, "{listens:?}");
    }
}
