use std::path::Path;

use super::*;

fn found(stream: &str) -> Option<String> {
    let text = format!("stream {{\n{stream}\n}}");
    let config = Config::parse(Path::new("test.conf"), text.as_bytes(), Path::new(""));
    let first = find(&config.unwrap()).into_iter().next();
    first.map(|found| found.to_string())
}

/// A server at `listen` that passes to `to`.
fn passing(listen: &str, to: &str) -> String {
    format!("server {{ listen {listen}; proxy_pass {to}; }}\n")
}

#[test]
fn a_listener_that_is_its_own_server_is_found() {
    for (listen, to) in [
        ("127.0.0.1:446", "127.0.0.1:446"),
        ("127.0.0.1:446", "0.0.0.0:446"),
        ("127.0.0.1:446", "[::ffff:127.0.0.1]:446"),
        ("127.0.0.1:446", "localhost:446"),
        ("127.0.0.1:446", "LOCALHOST.:446"),
        ("446", "127.0.0.1:446"),
        ("446", "127.8.8.8:446"),
        ("446", "localhost:446"),
        ("[::]:446", "[::1]:446"),
        ("[::]:446 ipv6only=off", "127.0.0.1:446"),
        ("[::1]:446", "localhost:446"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
        ("127.0.0.1:446-448", "127.0.0.1:447"),
    ] {
        let said = found(&passing(listen, to)).unwrap_or_default();
        assert!(
            said.contains("leads back to \"listen "),
            "{listen} {to}: {said}"
        );
        assert!(said.ends_with(" in test.conf:2"), "{said}");
    }
}

#[test]
fn a_path_that_ends_is_no_loop() {
    for (listen, to) in [
        ("127.0.0.1:446", "127.0.0.1:447"),
        ("127.0.0.1:446", "127.0.0.2:446"),
        ("446", "192.0.2.1:446"),
        ("446", "node1.example.com:446"),
        ("446", "[::1]:446"),
        ("[::]:446", "127.0.0.1:446"),
        ("[::]:446", "[2001:db8::1]:446"),
        ("unix:/run/a.sock", "unix:/run/b.sock"),
        ("unix:/run/a.sock", "127.0.0.1:446"),
    ] {
        assert_eq!(found(&passing(listen, to)), None, "{listen} {to}");
    }
    let down = "upstream u { server 192.0.2.1:446; server 127.0.0.1:446 down; }";
    assert_eq!(
        found(&format!("{down} {}", passing("127.0.0.1:446", "u"))),
        None
    );
    let on = [
        passing("127.0.0.1:446", "127.0.0.1:447"),
        passing("127.0.0.1:447", "192.0.2.1:1"),
    ];
    assert_eq!(found(&on.concat()), None);
    let before_the_wildcard = [
        passing("446", "127.0.0.1:446"),
        passing("127.0.0.1:446", "192.0.2.1:1"),
    ];
    assert_eq!(found(&before_the_wildcard.concat()), None);
}

#[test]
fn the_address_of_an_interface_is_found_behind_a_wildcard() {
    // The address that the kernel would use, if it has any but loopback.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_err() {
        eprintln!("skipped: no address but loopback");
        return;
    }
    let own = probe.local_addr().unwrap().ip();
    let said = found(&passing("446", &format!("{own}:446")));
    let expected =
        format!("server \"{own}:446\" leads back to \"listen 0.0.0.0:446\" in test.conf:2");
    assert_eq!(said, Some(expected));
}

#[test]
fn the_directive_of_an_upstream_and_the_path_are_named() {
    let text = [
        "upstream u {\nserver 192.0.2.1:446;\nserver 127.0.0.1:447 backup;\n}\n".to_owned(),
        passing("127.0.0.1:446", "u"),
        passing("127.0.0.1:447", "127.0.0.1:448"),
        passing("127.0.0.1:448", "127.0.0.1:446"),
    ];
    let expected = "server \"127.0.0.1:447\" leads back to \"listen 127.0.0.1:446\" by way of \"listen \
                    127.0.0.1:447\", \"listen 127.0.0.1:448\" in test.conf:4";
    assert_eq!(found(&text.concat()).as_deref(), Some(expected));
}

#[test]
fn names_count_where_the_path_back_is_certain() {
    let by_name = |to: &str, rest: &str| {
        let map = format!(
            "map $ssl_preread_server_name $to {{ default 192.0.2.1:1; a.example {to}; }}\n"
        );
        let server = "server { listen 127.0.0.1:446; ssl_preread on; proxy_pass $to; }\n";
        found(&format!("{map}{server}{rest}"))
    };
    assert!(by_name("127.0.0.1:446", "").is_some());
    assert!(by_name("127.0.0.1:447", &passing("127.0.0.1:447", "127.0.0.1:446")).is_some());
    // The second server sends back other names than it receives.
    let other =
        "map $ssl_preread_server_name $back { default 192.0.2.1:1; b.example 127.0.0.1:446; }
                 server { listen 127.0.0.1:447; ssl_preread on; proxy_pass $back; }";
    assert_eq!(by_name("127.0.0.1:447", other), None);
}

#[test]
fn a_long_path_that_ends_is_no_loop() {
    let chain = (1000..2000).map(|port| {
        passing(
            &format!("127.0.0.1:{port}"),
            &format!("127.0.0.1:{}", port + 1),
        )
    });
    assert_eq!(found(&chain.collect::<String>()), None);
}
