//! What is refused, with its place and the text of the builders.

use lb_proxy::errors::BuildError;
use lb_proxy::health::{CheckSettings, Expect, HttpCheck};
use lb_proxy::lb_core::Backend;
use lb_proxy::lb_discovery::Static;
use lb_proxy::settings_file::ProxySettings;
use lb_proxy::{Listener, Proxy, Timeouts, Upstream};

use crate::read;

const FILE: &str = "
upstreams:
  echo:
    sources: [{ static: [127.0.0.1:446] }]
    health_checks: [{ check: { http: { path: /healthz } } }]
client_zones: { clients: {} }
listeners:
  - { listen: '127.0.0.1:0', upstream: echo, client_limits: [{ zone: clients, sessions: 1 }] }
";

#[test]
fn mistakes_of_a_file_are_named_with_their_place() {
    for (from, to, said, place) in [
        (
            "upstreams:",
            "upstream:",
            "unknown field `upstream`, expected one of",
            "line 2 column 1",
        ),
        (
            "sources:",
            "source:",
            "unknown field `source`, expected one of",
            "line 4 column 5",
        ),
        (
            "static:",
            "statc:",
            "unknown variant `statc`, expected",
            "line 4 column",
        ),
        (
            "127.0.0.1:446",
            "node1:446",
            "\"node1:446\" is no IP address with a port",
            "line 4 column 26",
        ),
        ("path:", "pth:", "unknown field `pth`", "line 5 column"),
        (
            "http: { path: /healthz }",
            "htp: {}",
            "unknown variant `htp`",
            "line 5 column",
        ),
        (
            "{ path: /healthz } }",
            "{ path: /healthz } }, settings: { interval: 2 }",
            "a time with its unit, such as 500ms, 10s, 5m or 1h",
            "line 5 column",
        ),
        (
            "{ path: /healthz } }",
            "{ path: /healthz, statuses: [abc] } }",
            "a status such as 200, or a range",
            "line 5 column",
        ),
        (
            "clients: {}",
            "clients: { rate: 10 }",
            "a rate such as 100/s",
            "line 6 column",
        ),
        (
            "clients: {}",
            "clients: { rate: 10/0s }",
            "such as 100/s or 10/5m",
            "line 6 column",
        ),
        (
            "clients: {}",
            "clients: { capacity: 0 }",
            "expected a number above 0",
            "line 6 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, workers: 2",
            "unknown field `workers`",
            "line 8 column",
        ),
        (
            "'127.0.0.1:0'",
            "localhost",
            "write IP:PORT, [IPv6]:PORT or unix:PATH",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, mode: '888'",
            "permissions in octal",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, access: [{ allow: everything }]",
            "neither \"all\" nor \"unix\"",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, client_options: { send_buffer: 1kb }",
            "such as 500000, 64KiB or 10MB",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, sessions: { bandwidth: { upload: 0 } }",
            "bytes a second above 0",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, sessions: { send_proxy: true }",
            "or false to switch it off",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, sessions: { timeouts: { idle: never } }",
            "a time with its unit",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: 1",
            "the name of an upstream, or a list of upstreams with their weights",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: [{ upstream: echo, weigth: 1 }]",
            "unknown field `weigth`",
            "line 8 column",
        ),
        (
            "upstream: echo",
            "upstream: echo, upstream: web",
            "upstream",
            "line 8 column",
        ),
    ] {
        assert!(FILE.contains(from), "{from}");
        let text = FILE.replacen(from, to, 1);
        let error = serde_saphyr::from_str::<ProxySettings>(&text).unwrap_err();
        let error = error.without_snippet().to_string();
        let (said, error) = (said.replace('`', ""), error.replace('`', ""));
        assert!(error.contains(&said), "{to}: {error}");
        let place = place.replace(" column", ", column");
        assert!(
            error
                .replace(" column", ", column")
                .replace(",,", ",")
                .contains(&place),
            "{to}: {error}"
        );
    }
}

fn problem(from: &str, to: &str) -> String {
    assert!(FILE.contains(from), "{from}");
    let settings: ProxySettings = read(&FILE.replacen(from, to, 1));
    settings.build().unwrap_err().to_string()
}

#[test]
fn settings_that_cannot_work_have_the_error_of_the_builders() {
    assert_eq!(
        problem("upstream: echo", "upstream: web"),
        "listeners[0].upstream: no upstream is called \"web\": use one of echo"
    );
    assert_eq!(
        problem("zone: clients", "zone: others"),
        "listeners[0].client_limits[0].zone: no client zone is called \"others\": use one of clients"
    );
    let http = HttpCheck::try_new("healthz").unwrap_err();
    assert_eq!(
        problem("/healthz", "healthz"),
        format!("upstreams.echo.health_checks[0].check.http: {http}")
    );
    let expect = Expect::try_hex("zz").unwrap_err();
    assert_eq!(
        problem(
            "http: { path: /healthz }",
            "send_expect: { steps: [{ expect_hex: zz }] }"
        ),
        format!("upstreams.echo.health_checks[0].check.send_expect: {expect}")
    );
    let none = Upstream::builder("echo").build().unwrap_err();
    assert!(matches!(none, BuildError::NoSource { .. }));
    assert_eq!(
        problem("[{ static: [127.0.0.1:446] }]", "[]"),
        format!("upstreams.echo: {none}")
    );
    let fixed = || {
        Static::new(
            "127.0.0.1:446"
                .parse()
                .into_iter()
                .map(Backend::new)
                .collect(),
        )
    };
    let never = CheckSettings::default().timeout(std::time::Duration::ZERO);
    let checked = Upstream::builder("echo")
        .discovery(fixed())
        .health_check(HttpCheck::try_new("/").unwrap(), never);
    assert_eq!(
        problem("} } }]", "} }, settings: { timeout: 0s } }]"),
        format!("upstreams.echo: {}", checked.build().unwrap_err())
    );
    let echo = Upstream::builder("echo")
        .discovery(fixed())
        .build()
        .unwrap();
    let timeouts = Timeouts::default().idle(Some(std::time::Duration::ZERO));
    let listener = Listener::new("127.0.0.1:0".parse().unwrap(), &echo).timeouts(timeouts);
    let zero = Proxy::builder().listener(listener).build().unwrap_err();
    assert_eq!(
        problem(
            "upstream: echo",
            "upstream: echo, sessions: { timeouts: { idle: 0s } }"
        ),
        format!("listeners[0]: {zero}")
    );
    let none = Proxy::builder().build().unwrap_err();
    let settings: ProxySettings = read("{}");
    assert_eq!(
        settings.build().unwrap_err().to_string(),
        format!("listeners: {none}")
    );
    let said = problem(
        "upstream: echo",
        "upstream: echo, sessions: { server_names: { a.example: echo } }",
    );
    assert!(
        said.starts_with("listeners[0]: ") && said.contains("add `client_hello: {}`"),
        "{said}"
    );
    let said = problem(
        "upstream: echo",
        "upstream: echo, client_hello: {}, sessions: { server_names: { 'a..b': echo } }",
    );
    assert!(
        said.starts_with("listeners[0].sessions.server_names.\"a..b\": "),
        "{said}"
    );
    let said = problem(
        "upstream: echo",
        "upstream: echo, client_hello: {}, virtual_servers: [{ names: [a], upstream: web }]",
    );
    assert!(
        said.starts_with("listeners[0].virtual_servers[0].upstream: no upstream"),
        "{said}"
    );
}
