//! `health_check`, `health_check_timeout` and `match`.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use lb_proxy::health::ProbeHeader;

use super::{parse, secs, stream};
use crate::config::health_check::ServerCheck;
use crate::config::main::Config;
use crate::config::overrides::Overrides;

/// The checks of the upstream `u`, whose server has these directives; `match` blocks come before it.
fn checks(matches: &str, directives: &str) -> Vec<ServerCheck> {
    let text = format!(
        "{matches} upstream u {{ server 10.0.0.1:446; }}
         server {{ listen 446; proxy_pass u; {directives} }}"
    );
    stream(&text).upstreams[0].checks.clone()
}

fn error(matches: &str, directives: &str) -> String {
    let text = format!(
        "stream {{ {matches} upstream u {{ server 10.0.0.1:446; }}
         server {{ listen 446; proxy_pass u; {directives} }} }}"
    );
    parse(&text).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_nginxs() {
    let checks = checks("", "health_check;");
    let ServerCheck {
        check,
        timeout,
        header,
        source,
    } = &checks[0];
    assert_eq!((check.interval, check.jitter), (secs(5), Duration::ZERO));
    assert_eq!(
        (check.fails, check.passes),
        (NonZeroU32::MIN, NonZeroU32::MIN)
    );
    assert_eq!((check.mandatory, check.port), (false, None));
    assert_eq!(
        (*timeout, *header, *source),
        (secs(5), ProbeHeader::Never, None)
    );
    assert_eq!(format!("{:?}", check.kind), "Tcp(TcpCheck)");
}

#[test]
fn every_parameter_is_read() {
    let checks = checks(
        "match m { send \"a\\x00\\xffb\\r\\n\"; expect ~ \"^\\x80ok\"; }",
        "health_check interval=1m jitter=250ms fails=3 passes=2 mandatory persistent match=m port=80
             fast_interval=100ms down_interval=10;
         health_check_timeout 1s500ms; proxy_protocol v2; proxy_bind 192.0.2.1;
         health_check type=tcp send=PING expect=+PONG;
         health_check uri=/up?a=b host=x status=200-204,301;
         health_check type=http port=1;
         health_check type=agent port=8181 send=hello;
         health_check type=node_port port=30000;",
    );
    let distinctions = checks.iter().map(|check| &*check.check.distinction);
    let expected = [
        " match=m port=80",
        "",
        " uri=/up host=x",
        " port=1",
        " port=8181",
        " port=30000",
    ];
    assert_eq!(distinctions.collect::<Vec<_>>(), expected);
    let first = &checks[0].check;
    assert_eq!(
        (first.interval, first.jitter),
        (secs(60), Duration::from_millis(250))
    );
    assert_eq!((first.fails.get(), first.passes.get()), (3, 2));
    assert_eq!((first.mandatory, first.port), (true, Some(80)));
    let intervals = (first.fast_interval, first.down_interval);
    assert_eq!(
        intervals,
        (Some(Duration::from_millis(100)), Some(secs(10)))
    );
    assert_eq!(checks[0].timeout, Duration::from_millis(1500));
    // Probes to another port have no PROXY header.
    assert_eq!(
        (checks[0].header, checks[1].header),
        (ProbeHeader::Never, ProbeHeader::V2)
    );
    assert_eq!(checks[1].source, Some([192, 0, 2, 1].into()));
    let kinds: Vec<_> = checks
        .iter()
        .map(|check| format!("{:?}", check.check.kind))
        .collect();
    assert!(
        kinds[0].contains("[97, 0, 255, 98, 13, 10]"),
        "{}",
        kinds[0]
    );
    assert!(kinds[0].contains("x80ok"), "{}", kinds[0]);
    assert!(kinds[1].contains("+PONG"), "{}", kinds[1]);
    assert!(kinds[2].contains("/up?a=b") && kinds[2].contains("200..=204, 301..=301"));
    assert!(kinds[3].starts_with("Http(") && kinds[3].contains("200..=399"));
    assert!(kinds[4].starts_with("Agent(") && kinds[5].starts_with("NodePort("));
}

#[cfg(feature = "health-tls")]
#[test]
fn a_tls_check_has_a_server_name() {
    let kinds = checks(
        "",
        "health_check type=tls; health_check type=tls sni=www.example.com;",
    );
    assert!(format!("{:?}", kinds[0].check.kind).contains("server_name: None"));
    assert!(format!("{:?}", kinds[1].check.kind).contains("www.example.com"));
    let error = error("", "health_check type=tls sni=a..b;");
    assert!(
        error.contains("\"a..b\" is not a host name in test.conf:2"),
        "{error}"
    );
}

#[test]
fn equal_checks_of_several_servers_are_one() {
    let stream = stream(
        "upstream u { server 10.0.0.1:446; } health_check_timeout 3s;
         server { listen 446; proxy_pass u; health_check; }
         server { listen 447; proxy_pass u; health_check; }
         server { listen 448; proxy_pass u; health_check interval=1; }
         server { listen 449; proxy_pass 10.0.0.2:446; health_check; }
         server { listen 450; proxy_pass 10.0.0.2:446; }",
    );
    let counts: Vec<_> = stream.upstreams.iter().map(|u| u.checks.len()).collect();
    assert_eq!(counts, [2, 1]);
    assert_eq!(stream.upstreams[1].checks[0].timeout, secs(3));
}

#[test]
fn what_cannot_work_is_refused() {
    for (directives, expected) in [
        ("health_check udp;", "UDP is not balanced"),
        ("health_check type=grpc;", "ask over HTTP by"),
        ("health_check type=icmp;", "invalid parameter \"type=icmp\""),
        (
            "health_check intervall=5;",
            "invalid parameter \"intervall=5\"",
        ),
        (
            "health_check interval=5ms;",
            "invalid parameter \"interval=5ms\"",
        ),
        (
            "health_check interval=0;",
            "invalid parameter \"interval=0\"",
        ),
        (
            "health_check_timeout 0; health_check;",
            "\"health_check_timeout\" must be longer than 0 in test.conf:",
        ),
        ("health_check fails=0;", "invalid parameter \"fails=0\""),
        ("health_check passes=x;", "invalid parameter \"passes=x\""),
        ("health_check port=0;", "invalid parameter \"port=0\""),
        (
            "health_check port=65536;",
            "invalid parameter \"port=65536\"",
        ),
        (
            "health_check fails=1 fails=2;",
            "invalid parameter \"fails=2\"",
        ),
        (
            "health_check persistent;",
            "invalid parameter \"persistent\"",
        ),
        (
            "health_check match=m;",
            "\"match\" \"m\" is not defined in \"stream\"",
        ),
        ("health_check type=agent;", "\"type=agent\" needs \"port\""),
        (
            "health_check type=node_port;",
            "\"type=node_port\" needs \"port\"",
        ),
        (
            "health_check uri=up;",
            "the path \"up\" cannot be asked for",
        ),
        (
            "health_check uri=/ status=900;",
            "no status from 900 to 900 exists",
        ),
        (
            "health_check uri=/ status=2xx;",
            "invalid parameter \"status=2xx\"",
        ),
        (
            "health_check uri=/ send=x;",
            "\"send\" does not belong to \"type=http\"",
        ),
        (
            "health_check type=tcp uri=/;",
            "\"uri\" does not belong to \"type=tcp\"",
        ),
        (
            "health_check expect=~(;",
            "the pattern \"~(\" cannot be used",
        ),
        ("health_check expect=;", "nothing is expected"),
        ("health_check send=a\\xg0;", "invalid value"),
    ] {
        let error = error("", directives);
        assert!(error.contains(expected), "{directives} {error}");
    }
    for (matches, expected) in [
        ("match m { } match m { }", "duplicate \"match\" \"m\""),
        (
            "match m { send a; send b; }",
            "\"send\" directive is duplicate",
        ),
        ("match m { expect ~; expect b; }", "it is empty"),
        (
            "match m { expect = b; }",
            "invalid number of arguments in \"expect\"",
        ),
        ("match m { status 200; }", "unknown directive \"status\""),
    ] {
        let error = error(matches, "");
        assert!(error.contains(expected), "{matches} {error}");
    }
    let nowhere = "stream { server { listen 446; return x; health_check; } }";
    let error = parse(nowhere).unwrap_err().to_string();
    assert!(
        error.contains("\"health_check\" has no servers to check"),
        "{error}"
    );
}

#[test]
fn a_match_block_that_no_check_names_is_a_warning() {
    let config = parse(
        "stream { match used { } match other {\n send a; }
         server { listen 446; proxy_pass 10.0.0.1:1; health_check match=used; } }",
    );
    let warnings = config.unwrap().warnings;
    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["no \"health_check\" names the \"match\" \"other\" in test.conf:1"]
    );
}

#[test]
fn a_match_block_that_a_mistaken_check_may_name_is_no_warning() {
    let text = "stream { match used { } server { listen 446; proxy_pass 10.0.0.1:1; health_check match=used fails=0; } }";
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.conf"), text).unwrap();
    let path = Path::new("a.conf");
    let (_, warnings, read) = Config::load_all(path, dir.path(), &Overrides::default(), false);
    assert_eq!(read.unwrap_err().len(), 1);
    assert!(warnings.is_empty(), "{warnings:?}");
}
