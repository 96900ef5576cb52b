use super::{AddressError::*, *};

#[test]
fn hosts_and_ports() {
    let long = "a".repeat(63);
    let too_long = format!("{long}.{long}.{long}.{long}");
    for (text, expected) in [
        ("10.0.0.1:446", Ok(("10.0.0.1", Some(446)))),
        ("10.0.0.1", Ok(("10.0.0.1", None))),
        ("10.0.0.1:080", Ok(("10.0.0.1", Some(80)))),
        ("[::1]:446", Ok(("::1", Some(446)))),
        ("[::1]", Ok(("::1", None))),
        ("[::ffff:10.0.0.1]:446", Ok(("::ffff:10.0.0.1", Some(446)))),
        (
            "node1.example.com:446",
            Ok(("node1.example.com", Some(446))),
        ),
        (
            "node1.example.com.:446",
            Ok(("node1.example.com.", Some(446))),
        ),
        ("my_node-1", Ok(("my_node-1", None))),
        (&long, Ok((&long, None))),
        ("", Err(NoHost)),
        (":446", Err(NoHost)),
        ("[]:446", Err(NoHost)),
        ("a:", Err(InvalidPort)),
        ("a:0", Err(InvalidPort)),
        ("a:65536", Err(InvalidPort)),
        ("a:+1", Err(InvalidPort)),
        ("a:b:1", Err(InvalidPort)),
        ("::1", Err(NoHost)),
        ("fe80::1", Err(InvalidPort)),
        ("[::1]:x", Err(InvalidPort)),
        ("[::1", Err(InvalidHost)),
        ("[::1]446", Err(InvalidHost)),
        ("[::g]:446", Err(InvalidIpv6)),
        ("[fe80::1%eth0]:446", Err(InvalidIpv6)),
        ("http://a:446/", Err(InvalidHost)),
        ("a?b:446", Err(InvalidHost)),
        ("10.0.0.256:446", Err(InvalidHost)),
        ("10.0.0:446", Err(InvalidHost)),
        ("010.0.0.1:446", Err(InvalidHost)),
        ("a..b:446", Err(InvalidHost)),
        (".:446", Err(InvalidHost)),
        ("a b:446", Err(InvalidHost)),
        ("é:446", Err(InvalidHost)),
        ("$a:446", Err(InvalidHost)),
        (&too_long, Err(InvalidHost)),
        ("unix:/run/a.sock", Ok(("unix /run/a.sock", None))),
        ("UNIX:a:1", Ok(("unix a:1", None))),
        ("unix:", Err(NoUnixPath)),
    ] {
        let result = Address::parse(text).and_then(|address| {
            let host = match address.host()? {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) | Host::Service(name) => name,
                Host::Unix(path) => format!("unix {}", path.display()),
            };
            Ok((host, address.port))
        });
        let expected = expected.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(result, expected, "{text:?}");
    }
}

#[test]
fn listeners() {
    let long = format!("unix:/{}", "a".repeat(MAX_UNIX_PATH));
    for (text, expected) in [
        ("446", Ok("0.0.0.0 446-446")),
        ("*:446", Ok("0.0.0.0 446-446")),
        ("127.0.0.1:446", Ok("127.0.0.1 446-446")),
        ("[::]:446", Ok(":: 446-446")),
        ("[::1]:446", Ok("::1 446-446")),
        ("446-450", Ok("0.0.0.0 446-450")),
        ("*:446-450", Ok("0.0.0.0 446-450")),
        ("[::1]:446-446", Ok("::1 446-446")),
        ("localhost:446-450", Ok("name localhost 446-450")),
        ("localhost:446", Ok("name localhost 446-446")),
        ("unix:/run/a.sock", Ok("unix /run/a.sock")),
        (
            &long[..long.len() - 1],
            Ok(&*format!("unix {}", &long[5..long.len() - 1])),
        ),
        (&long, Err(UnixPathTooLong)),
        ("unix:", Err(NoUnixPath)),
        ("0", Err(InvalidPort)),
        ("65536", Err(InvalidPort)),
        ("446x", Err(InvalidPort)),
        ("*:", Err(InvalidPort)),
        ("*:0", Err(InvalidPort)),
        ("446-", Err(InvalidPort)),
        ("446-65536", Err(InvalidPort)),
        ("0-446", Err(InvalidPort)),
        ("450-446", Err(PortRange)),
        ("", Err(NoHost)),
        (":446", Err(NoHost)),
        ("*", Err(NoPort)),
        ("127.0.0.1", Err(NoPort)),
        ("[::]", Err(NoPort)),
        ("[::", Err(InvalidHost)),
        ("$a:446", Err(InvalidHost)),
        ("446/tcp", Err(InvalidHost)),
        ("localhost", Err(NoPort)),
        ("$a", Err(NoPort)),
        ("a:x", Err(InvalidPort)),
    ] {
        let shown = |ports: &RangeInclusive<u16>| format!("{}-{}", ports.start(), ports.end());
        let parsed = ListenAddress::parse(text).map(|address| match address {
            ListenAddress::Ip(ip, ports) => format!("{ip} {}", shown(&ports)),
            ListenAddress::Name(name, ports) => format!("name {name} {}", shown(&ports)),
            ListenAddress::Unix(path) => format!("unix {}", path.display()),
        });
        assert_eq!(
            parsed.as_deref().map_err(|error| *error),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn name_servers() {
    for (text, expected) in [
        ("10.0.0.53", Ok("10.0.0.53:53")),
        ("10.0.0.53:5353", Ok("10.0.0.53:5353")),
        ("[::1]", Ok("[::1]:53")),
        ("dns.example.com:5353", Ok("192.0.2.53:5353")),
        ("gone.example.com", Err(HostNotFound)),
        ("unix:/dns", Err(Unix)),
        ("$dns", Err(InvalidHost)),
    ] {
        let look_up = |name: &str| match name {
            "dns.example.com" => Ok(vec![[192, 0, 2, 53].into()]),
            _ => Err(HostNotFound),
        };
        let result = Address::parse(text).and_then(|address| address.name_servers(look_up));
        let expected = expected.map(|addr| vec![addr.parse().unwrap()]);
        assert_eq!(result, expected, "{text:?}");
    }
}
