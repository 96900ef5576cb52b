//! Warnings, features that are not supported, and the places that messages name.

use super::{In, parse};

/// The warnings about `text`, without that about a `stream` block without a server.
fn warnings(text: &str) -> Vec<String> {
    let mut warnings = all_warnings(text);
    warnings.retain(|warning| !warning.contains(NO_SERVER));
    warnings
}

fn all_warnings(text: &str) -> Vec<String> {
    let warnings = parse(text).unwrap().warnings;
    warnings.iter().map(ToString::to_string).collect()
}

const NO_SERVER: &str =
    r#"no "server" is inside "stream": nothing is served until a reload adds one"#;

#[test]
fn a_stream_block_without_a_server_is_a_warning() {
    let expected = [format!("{NO_SERVER} in test.conf:2")];
    assert_eq!(
        all_warnings("\nstream\n{ }"),
        [format!("{NO_SERVER} in test.conf:3")]
    );
    let upstream = "\nstream { upstream u { server 10.0.0.1:1; } }";
    assert_eq!(all_warnings(upstream), expected);
    assert_eq!(
        all_warnings("stream { server { listen 1; return a; } }"),
        [""; 0]
    );
    // It is not for a file without the block.
    assert_eq!(all_warnings("events { }"), [""; 0]);
}

#[test]
fn warnings_are_kept() {
    for (place, text, warning) in [
        (
            In::Main,
            "\nload_module a.so;",
            r#"the "load_module" directive has no effect here"#,
        ),
        (
            In::Main,
            "\nhttp { server { listen 80; } }",
            r#"nginx_like serves "stream" only: the "http" block is skipped and not served"#,
        ),
        (
            In::Main,
            "\nlb_withdraw_timeout 5s;",
            r#""lb_withdraw_timeout" has no effect without "lb_withdraw_command""#,
        ),
        (
            In::Main,
            "\nmail { server { } }",
            r#"nginx_like serves "stream" only: the "mail" block is skipped and not served"#,
        ),
        (
            In::Main,
            "\ntypes { text/html html; }",
            r#"nginx_like serves "stream" only: the "types" block is skipped and not served"#,
        ),
        (
            In::Events,
            "multi_accept on;",
            r#"the "multi_accept" directive has no effect here"#,
        ),
        (
            In::Stream,
            "server { listen 446; }",
            "no handler for server: its connections are closed with status 500",
        ),
        (
            In::Server,
            "proxy_buffer_size 1k;",
            r#"the "proxy_buffer_size" directive has no effect here"#,
        ),
        (
            In::Server,
            "proxy_timeout 0;",
            r#"a time-out of 0 ends at once and is not off: "proxy_timeout 0""#,
        ),
        (
            In::Server,
            "allow 10.1.2.3/8;",
            "low address bits of 10.1.2.3/8 are meaningless",
        ),
        (
            In::Stream,
            "deny 2001:db8::1/32;",
            "low address bits of 2001:db8::1/32 are meaningless",
        ),
        (
            In::Stream,
            "lb_admin 0.0.0.0:1 allow=10.0.0.1/8;",
            "low address bits of 10.0.0.1/8 are meaningless",
        ),
        (
            In::Stream,
            "log_format lb_json a;",
            r#"this format replaces the built-in format "lb_json""#,
        ),
        (
            In::Stream,
            "set_real_ip_from 10.0.0.1/24;",
            "low address bits of 10.0.0.1/24 are meaningless",
        ),
        (
            In::Stream,
            "proxy_connect_timeout 0ms;",
            r#"a time-out of 0 ends at once and is not off: "proxy_connect_timeout 0""#,
        ),
        (
            In::Upstream,
            "server a:1; random; least_conn;",
            "load balancing method redefined",
        ),
        (
            In::Main,
            "\nrtmp { server { listen 1935; } }",
            r#"nginx_like serves "stream" only: the "rtmp" block is skipped and not served"#,
        ),
        (
            In::Events,
            "epoll_events 1024;",
            r#"the "epoll_events" directive has no effect here"#,
        ),
        (
            In::Main,
            "\nerror_log stderr debug_stream;",
            r#""debug_stream" means "debug" here, which logs all kinds"#,
        ),
        (
            In::Server,
            "error_log stderr debug_core debug_event;",
            r#""debug_event" means "debug" here, which logs all kinds"#,
        ),
        (
            In::Upstream,
            "server 10.0.0.1:1; server 10.0.0.2:1 slow_start=30s;",
            r#"the "slow_start" of one server counts for all of upstream "u""#,
        ),
        (
            In::Upstream,
            "server 10.0.0.1:1 slow_start=30s; random;",
            r#"the "slow_start" of upstream "u" has no effect: its method gives a server that is back its whole share at once"#,
        ),
        (
            In::Stream,
            "log_format a '$ssl_protocol $status $SSL_protocol';",
            r#""$ssl_protocol" has no value: TLS is not ended here; "ssl_preread" has what the client's first message says"#,
        ),
        (
            In::Upstream,
            "hash $ssl_client_s_dn; server 10.0.0.1:446;",
            r#""$ssl_client_s_dn" has no value: TLS is not ended here; "ssl_preread" has what the client's first message says"#,
        ),
        (
            In::StreamWithU,
            "server { listen 1; proxy_pass u; resolver 10.0.0.1; }",
            r#"the resolver of this server has no effect on upstream "u""#,
        ),
        (
            In::StreamWithU,
            "server { listen 1; proxy_pass a:1; resolver 10.0.0.1; }",
            r#"the resolver of this server has no effect on upstream "a:1""#,
        ),
        (
            In::Upstream,
            "server a:1; server 10.0.0.2:1 resolve; resolver 10.0.0.1;",
            r#"the resolver of upstream "u" has no effect: no server has a name and "resolve""#,
        ),
    ] {
        assert_eq!(
            warnings(&place.wrap(text)),
            [format!("{warning} in test.conf:2")]
        );
    }
}

#[test]
fn quotes_behind_the_name_of_a_parameter_of_a_check_are_a_warning() {
    for (parameter, warning) in [
        (
            r#"send="ping\n""#,
            r#"the quotes behind "send=" are part of its value, as in nginx: write "send=ping\n""#,
        ),
        (
            "expect='ok'",
            r#"the quotes behind "expect=" are part of its value, as in nginx: write 'expect=ok'"#,
        ),
        (
            r#"expect="""#,
            r#"the quotes behind "expect=" are part of its value, as in nginx: leave "expect=" out"#,
        ),
        (
            "expect=hex:2b50",
            r#""expect=" takes "hex:2b50" as text: write bytes as in "expect=\x50\x49""#,
        ),
    ] {
        let server = format!("server {{ listen 1; proxy_pass u; health_check {parameter}; }}");
        let found = warnings(&In::StreamWithU.wrap(&server));
        assert_eq!(found, [format!("{warning} in test.conf:2")], "{parameter}");
    }
    let right = r#"server { listen 1; proxy_pass u; health_check "send=a\n" "expect=\x2b\"" ; }"#;
    assert_eq!(warnings(&In::StreamWithU.wrap(right)), [""; 0]);
}

#[test]
fn a_skipped_block_ends_where_nginx_ends_it_and_its_includes_are_not_read() {
    let config = parse(
        r##"http {
            include /nonexistent/mime.types; # }
            log_format a '} "$status" {' "}";
            map $a $b { ~^\}$ 1; "" ${c}; }
            server { location ~ "^/a{2}" { return 200 "\"}"; } }
        }
        stream { server { listen 446; proxy_pass 10.0.0.1:446; } }"##,
    );
    let config = config.unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert_eq!(config.stream.unwrap().servers.len(), 1);
}

#[test]
fn a_resolver_that_is_used_is_no_warning() {
    for text in [
        "resolver 10.0.0.1; upstream u { server a:1; }",
        "upstream u { server 10.0.0.1:1; server a:1 resolve; resolver 10.0.0.1; }",
        "upstream u { server a service=b resolve; resolver 10.0.0.1; }",
        "map $ssl_preread_server_name $n { a.test b:1; default 10.0.0.1:1; }
         server { listen 1; proxy_pass $n; resolver 10.0.0.1; }",
    ] {
        assert!(warnings(&In::Stream.wrap(text)).is_empty(), "{text}");
    }
}

#[test]
fn entries_of_geo_that_say_nothing_new_are_warnings_as_in_nginx() {
    for (lines, expected) in [
        (
            "10.0.0.1/8 a;",
            "low address bits of 10.0.0.1/8 are meaningless",
        ),
        (
            "default a; default b;",
            r#"duplicate network "default", value: "b", old value: "a""#,
        ),
        (
            "::1 a; ::1 b;",
            r#"duplicate network "::1", value: "b", old value: "a""#,
        ),
        ("delete 10.0.0.1;", r#"no network "10.0.0.1" to delete"#),
        (
            "ranges; delete 10.0.0.1-10.0.0.2;",
            r#"no address range "10.0.0.1-10.0.0.2" to delete"#,
        ),
        (
            "ranges; 10.0.0.1-10.0.0.2 a; 10.0.0.1-10.0.0.2 b;",
            r#"duplicate range "10.0.0.1-10.0.0.2", value: "b", old value: "a""#,
        ),
        (
            "ranges; default a; default b;",
            r#"duplicate default geo range value: "b", old value: "a""#,
        ),
    ] {
        let said = warnings(&In::Stream.wrap(&format!("geo $a {{ {lines} }}")));
        assert_eq!(said, [format!("{expected} in test.conf:2")], "{lines}");
    }
}

#[test]
fn errors_distinguish_what_is_not_supported_from_mistakes() {
    let not_supported = |place: In, text| {
        let error = parse(&place.wrap(text)).unwrap_err().to_string();
        error.contains("not supported")
    };
    for (place, text) in [
        (In::Stream, "map $geoip_country_code $b { }"),
        (In::Stream, "map $remote_addr $b { ~(?=a) b; }"),
        (In::Listen, "446 udp"),
        (In::UpstreamServer, "weight=65536"),
    ] {
        assert!(not_supported(place, text), "{text}");
    }
    for (place, text) in [
        (In::Main, "foo;"),
        (In::Listen, "446 foo"),
        (In::UpstreamServer, "weight=0"),
    ] {
        assert!(!not_supported(place, text), "{text}");
    }
}

#[test]
fn errors_and_warnings_of_times_name_the_line_of_their_directive() {
    for name in [
        "preread_timeout",
        "proxy_connect_timeout",
        "proxy_next_upstream_timeout",
        "proxy_protocol_timeout",
        "proxy_timeout",
        "resolver_timeout",
    ] {
        for place in [In::Server, In::Stream] {
            let error = parse(&place.wrap(&format!("\n\n{name}\nnever;\n"))).unwrap_err();
            let expected = format!("\"{name}\" directive invalid value in test.conf:5");
            assert_eq!(error.to_string(), expected);
        }
    }
    for name in [
        "preread_timeout",
        "proxy_connect_timeout",
        "proxy_protocol_timeout",
        "proxy_timeout",
    ] {
        for place in [In::Server, In::Stream] {
            let said = warnings(&place.wrap(&format!("\n\n{name}\n0;\n")));
            assert_eq!(said.len(), 1, "{said:?}");
            let expected = format!("\"{name} 0\" in test.conf:5");
            assert!(said[0].ends_with(&expected), "{said:?}");
        }
    }
}

#[test]
fn errors_have_their_place() {
    let error = parse("\n\nfoo;").unwrap_err();
    let span = error.span().unwrap();
    assert_eq!((span.file.to_str(), span.line), (Some("test.conf"), 3));
}

#[test]
fn directives_of_tls_have_no_effect_without_tls() {
    let text = "stream {\nssl_certificate a.pem;\nssl_protocols TLSv1.2 TLSv1.3;\nserver { listen 446; return x;\nproxy_ssl off;\n\
                proxy_ssl_name a; } }";
    let config = parse(text).unwrap();
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    for (warning, (name, line)) in warnings.iter().zip([
        ("ssl_certificate", 2),
        ("ssl_protocols", 3),
        ("proxy_ssl", 5),
        ("proxy_ssl_name", 6),
    ]) {
        assert!(warning.contains(&format!("\"{name}\"")), "{warning}");
        assert!(warning.ends_with(&format!("test.conf:{line}")), "{warning}");
    }
}
