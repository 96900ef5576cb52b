use super::*;
use crate::admin::AdminToken;

const TOKEN: &str = "0123456789abcdef";
const OWNER: u32 = 1000;

fn rules(token: bool) -> AdmissionRules {
    AdmissionRules {
        token: token.then(|| AdminToken::try_new(TOKEN).unwrap()),
        hosts: vec!["lb.example".to_owned()],
        ..AdmissionRules::default()
    }
}

fn tcp(text: &str) -> AdminPeer {
    AdminPeer::Tcp(text.parse().unwrap())
}

fn unix(uid: u32) -> AdminPeer {
    AdminPeer::Unix {
        uid,
        pid: 1,
        group: None,
    }
}

fn headers(host: &str) -> AccessHeaders<'_> {
    AccessHeaders {
        host: Some(host),
        ..AccessHeaders::default()
    }
}

#[test]
fn only_loopback_and_allowed_networks_may_connect() {
    let mut rules = rules(false);
    assert!(rules.admits(tcp("127.0.0.9:1")) && rules.admits(tcp("[::1]:1")));
    assert!(rules.admits(tcp("[::ffff:127.0.0.1]:1")) && rules.admits(unix(7)));
    assert!(!rules.admits(tcp("10.0.0.1:1")));
    rules.allow.push("10.0.0.0/8".parse().unwrap());
    assert!(rules.admits(tcp("10.0.0.1:1")) && !rules.admits(tcp("11.0.0.1:1")));
}

#[test]
fn a_name_that_is_not_the_servers_is_refused() {
    let rules = rules(false);
    let peer = tcp("127.0.0.1:1");
    let own = [
        "127.0.0.1:9446",
        "127.0.0.1",
        "localhost:9446",
        "LOCALHOST",
        "[::1]:9446",
        "[::1]",
        "lb.example:1",
    ];
    for host in own {
        assert_eq!(rules.check_read(peer, headers(host)), Ok(()), "{host}");
    }
    let foreign = [
        "evil.example",
        "evil.example:9446",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "[evil]:1",
        "localhost:x",
        "a:1:2",
        "",
    ];
    for host in foreign {
        let checked = rules.check_read(peer, headers(host));
        assert_eq!(checked, Err(AccessError::Host), "{host}");
    }
    let without = AccessHeaders::default();
    assert_eq!(rules.check_read(peer, without), Err(AccessError::Host));
    assert_eq!(rules.check_read(unix(7), without), Ok(()));
}

#[test]
fn over_tcp_nothing_changes_without_the_token() {
    let peer = tcp("127.0.0.1:1");
    let host = headers("localhost");
    let marked = AccessHeaders {
        is_marked: true,
        ..host
    };
    let with = |authorization| AccessHeaders {
        authorization: Some(authorization),
        ..host
    };
    let check = |token, headers| rules(token).check_write(peer, headers, OWNER);
    assert_eq!(check(false, marked), Err(AccessError::NoToken));
    let right = format!("Bearer {TOKEN}");
    assert_eq!(
        check(false, with(right.as_bytes())),
        Err(AccessError::NoToken)
    );
    assert_eq!(check(true, marked), Err(AccessError::Token));
    for wrong in ["", "Bearer", "Basic 0123456789abcdef", TOKEN] {
        let checked = check(true, with(wrong.as_bytes()));
        assert_eq!(checked, Err(AccessError::Token), "{wrong}");
    }
    let wrong = check(true, with(b"Bearer fedcba9876543210"));
    assert_eq!(wrong, Err(AccessError::WrongToken));
    assert_eq!(check(true, with(right.as_bytes())), Ok(()));
    assert_eq!(check(true, with(b"bearer 0123456789abcdef")), Ok(()));
    let foreign = AccessHeaders {
        host: Some("evil.example"),
        ..with(right.as_bytes())
    };
    assert_eq!(check(true, foreign), Err(AccessError::Host));
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let peer = tcp("127.0.0.1:1");
    let right = format!("Bearer {TOKEN}");
    let own = AccessHeaders {
        authorization: Some(right.as_bytes()),
        ..headers("localhost:9446")
    };
    let check = |headers| rules(true).check_write(peer, headers, OWNER);
    let origin = |origin| AccessHeaders {
        origin: Some(origin),
        ..own
    };
    let site = |site| AccessHeaders {
        fetch_site: Some(site),
        ..own
    };
    assert_eq!(check(origin("http://localhost:9446")), Ok(()));
    for foreign in ["http://localhost:1", "http://evil.example", "null", ""] {
        assert_eq!(
            check(origin(foreign)),
            Err(AccessError::Origin),
            "{foreign}"
        );
    }
    assert_eq!(check(site("same-origin")), Ok(()));
    assert_eq!(check(site("none")), Ok(()));
    assert_eq!(check(site("same-site")), Err(AccessError::Origin));
    assert_eq!(check(site("cross-site")), Err(AccessError::Origin));
}

#[test]
fn a_page_of_another_origin_reads_nothing_unless_it_opens_a_tab() {
    let peer = tcp("127.0.0.1:1");
    let own = headers("localhost:9446");
    let check = |headers| rules(false).check_read(peer, headers);
    let of = |site, mode, dest| AccessHeaders {
        fetch_site: Some(site),
        fetch_mode: Some(mode),
        fetch_dest: Some(dest),
        ..own
    };
    for site in ["cross-site", "same-site"] {
        assert_eq!(check(of(site, "navigate", "document")), Ok(()), "{site}");
        for (mode, dest) in [
            ("no-cors", "image"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("no-cors", "document"),
        ] {
            let checked = check(of(site, mode, dest));
            assert_eq!(checked, Err(AccessError::Origin), "{site} {mode} {dest}");
        }
    }
    assert_eq!(check(of("same-origin", "cors", "empty")), Ok(()));
    assert_eq!(check(of("none", "navigate", "document")), Ok(()));
    let origin = |origin| AccessHeaders {
        origin: Some(origin),
        ..own
    };
    assert_eq!(check(origin("http://localhost:9446")), Ok(()));
    for foreign in ["http://localhost:1", "http://evil.example", "null"] {
        let checked = check(origin(foreign));
        assert_eq!(checked, Err(AccessError::Origin), "{foreign}");
        let opens = AccessHeaders {
            origin: Some(foreign),
            ..of("cross-site", "navigate", "document")
        };
        assert_eq!(check(opens), Err(AccessError::Origin), "{foreign}");
    }
}

#[test]
fn a_client_that_another_group_admitted_is_refused() {
    let member = |group| AdminPeer::Unix {
        uid: 7,
        pid: 1,
        group,
    };
    let marked = AccessHeaders {
        is_marked: true,
        ..AccessHeaders::default()
    };
    let plain = AccessHeaders::default();
    for (group, of_peer, read, write) in [
        (Some(50), Some(50), Ok(()), Ok(())),
        (
            Some(51),
            Some(50),
            Err(AccessError::Group),
            Err(AccessError::Group),
        ),
        (
            None,
            Some(50),
            Err(AccessError::Group),
            Err(AccessError::Group),
        ),
        // The permissions of the file had let it in without a group.
        (Some(50), None, Ok(()), Err(AccessError::User)),
    ] {
        let mut rules = rules(false);
        rules.group = group;
        let peer = member(of_peer);
        assert_eq!(rules.check_read(peer, plain), read, "{group:?} {of_peer:?}");
        let checked = rules.check_write(peer, marked, OWNER);
        assert_eq!(checked, write, "{group:?} {of_peer:?}");
    }
}

#[test]
fn over_a_unix_socket_credentials_decide() {
    let marked = AccessHeaders {
        is_marked: true,
        ..AccessHeaders::default()
    };
    let mut rules = rules(false);
    let plain = AccessHeaders::default();
    assert_eq!(rules.check_write(unix(OWNER), marked, OWNER), Ok(()));
    assert_eq!(rules.check_write(unix(0), marked, OWNER), Ok(()));
    let checked = rules.check_write(unix(OWNER), plain, OWNER);
    assert_eq!(checked, Err(AccessError::Mark));
    let checked = rules.check_write(unix(7), marked, OWNER);
    assert_eq!(checked, Err(AccessError::User));
    rules.group = Some(50);
    assert_eq!(rules.check_write(unix(OWNER), marked, OWNER), Ok(()));
}
