use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|addr| addr.parse().unwrap()).collect()
}

#[test]
fn servers_search_domains_and_options() {
    let text = b"# ours\nsearch a.test b.test\nnameserver 10.0.0.1\nnameserver ::1\n\
                 options ndots:3 timeout:4 attempts:5\n";
    let read = ResolvConf::parse(text);
    assert_eq!(read.servers, addrs(&["10.0.0.1:53", "[::1]:53"]));
    assert_eq!(read.search, [name("a.test"), name("b.test")]);
    assert_eq!((read.ndots, read.attempts), (3, 5));
    assert_eq!(read.timeout, Duration::from_secs(4));
    assert!(read.problems.is_empty() && !read.is_broken);
}

#[test]
fn a_file_without_servers_means_this_machine() {
    for text in [&b""[..], b"search a.test", b"# nameserver 10.0.0.1\n"] {
        let read = ResolvConf::parse(text);
        assert_eq!(read.servers, addrs(&["127.0.0.1:53"]));
        assert!(!read.is_broken);
    }
}

#[test]
fn the_last_of_search_and_domain_counts() {
    for (text, expected) in [
        (
            "search a.test\nsearch b.test c.test",
            &["b.test", "c.test"][..],
        ),
        ("search a.test\ndomain b.test", &["b.test"]),
        ("domain b.test\nsearch a.test", &["a.test"]),
        ("search .", &["."]),
        ("search", &[]),
    ] {
        let expected: Vec<Name> = expected.iter().map(|text| name(text)).collect();
        assert_eq!(
            ResolvConf::parse(text.as_bytes()).search,
            expected,
            "{text}"
        );
    }
}

/// The system's resolver skips each of these, too.
#[test]
fn invalid_parts_are_skipped_and_reported() {
    for (line, problem) in [
        ("search .local", "search domain \".local\" is no name"),
        ("search a..b", "search domain \"a..b\" is no name"),
        ("nameserver", "line 2: the value is missing or wrong"),
        ("nameserver no-address", "line 2: no IP address"),
        (
            "nameserver fe80::1%nowhere",
            "name server fe80::1%nowhere has an unknown interface",
        ),
        (
            "nameserver 10.0.0.9 10.0.0.10",
            "line 2: there is more on it",
        ),
        ("options ndots:many", "line 2: an option has a wrong value"),
        (
            "options ndots:999999999999",
            "line 2: an option has a wrong value",
        ),
        ("options frobnicate", "line 2: an option is not known"),
        ("frobnicate", "line 2: its first word is not known"),
        ("search \u{e9}.test\nsortlist x", "line 3: no IP address"),
    ] {
        let text = format!("nameserver 10.0.0.1\n{line}\noptions attempts:4\n");
        let read = ResolvConf::parse(text.as_bytes());
        assert_eq!(read.servers[0], addrs(&["10.0.0.1:53"])[0], "{line}");
        assert_eq!(read.attempts, 4, "{line}");
        assert!(!read.is_broken, "{line}");
        let [problem_text] = &read.problems[..] else {
            panic!("{line}: {:?}", read.problems);
        };
        assert!(problem_text.starts_with(problem), "{line}: {problem_text}");
    }
    let text = b"search .local a.test\nnameserver 10.0.0.1";
    assert_eq!(ResolvConf::parse(text).search, [name("a.test")]);
    let bytes = b"search \xff\nnameserver 10.0.0.1\n# \xff\n";
    let read = ResolvConf::parse(bytes);
    assert_eq!((read.problems.len(), read.search.len()), (1, 0));
    assert_eq!(read.problems[0], "line 1: it is not UTF-8");
}

#[test]
fn a_file_without_usable_servers_is_broken() {
    for text in [
        "nameserver",
        "nameserver no-address\n",
        " nameserver 10.0.0",
    ] {
        let read = ResolvConf::parse(text.as_bytes());
        assert!(read.is_broken, "{text}");
        assert_eq!(read.servers, addrs(&["127.0.0.1:53"]));
    }
}

#[test]
fn options_have_bounds() {
    let read = ResolvConf::parse(b"options ndots:99 timeout:0 attempts:0");
    assert_eq!((read.ndots, read.attempts), (15, 1));
    assert_eq!(read.timeout, Duration::from_secs(1));
    let read = ResolvConf::parse(b"options timeout:99 attempts:99");
    assert_eq!(read.attempts, 5);
    assert_eq!(read.timeout, Duration::from_secs(30));
    // Known, and not used here.
    let read = ResolvConf::parse(b"options rotate edns0 trust-ad single-request use-vc no-aaaa");
    assert!(read.problems.is_empty());
}

#[test]
fn a_name_server_may_be_on_a_link() {
    let read = ResolvConf::parse(b"nameserver fe80::1%lo\nnameserver fe80::2%7\n");
    let scopes = read.servers.iter().map(|server| match server {
        SocketAddr::V6(addr) => addr.scope_id(),
        SocketAddr::V4(addr) => panic!("{addr}"),
    });
    assert_eq!(scopes.collect::<Vec<_>>(), [1, 7]);
}
