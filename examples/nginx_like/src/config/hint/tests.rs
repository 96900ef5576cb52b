use std::path::Path;

use super::*;
use crate::config::main::Config;

fn hint_of(text: &str) -> Option<String> {
    let config = Config::parse(Path::new("test.conf"), text.as_bytes(), Path::new(""));
    hint(&config.unwrap_err())
}

#[test]
fn errors_with_the_words_of_nginx_have_a_hint_where_there_is_one() {
    for (text, expected) in [
        (
            "stream { server { proxy_pas u; } }",
            "did you mean \"proxy_pass\"?",
        ),
        ("steam { }", "did you mean \"stream\"?"),
        (
            "server { }",
            "\"server\" stands in \"stream\" and \"upstream\"",
        ),
        ("stream { user a; }", "\"user\" stands on the main level"),
        ("worker_processes;", "\"worker_processes\" takes 1 argument"),
        ("user a b c;", "\"user\" takes 1 to 2 arguments"),
        (
            "stream { proxy_timeout soon; }",
            "a time is a number with a unit, such as 500ms, 30s, 5m or 1h30m",
        ),
        (
            "stream { preread_buffer_size big; }",
            "a size is a number of bytes, such as 4096, 16k or 1m",
        ),
        (
            "events { }\nstream {\nserver {\nlisten 1;\n}\n",
            "the block that begins in line 2 has no closing brace",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check type=htp; } }",
            "did you mean \"type=http\"?",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check type=icmp; } }",
            "the types are \"tcp\", \"http\", \"tls\", \"agent\" and \"node_port\"",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check intervall=5; } }",
            "did you mean \"interval\"?",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check interval=5ms; } }",
            "an interval is a time of at least 10ms, such as 500ms, 5s or 1m",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check fails=0; } }",
            "it is a number of probes, at least 1",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check uri=/ status=2xx; } }",
            "statuses are numbers and ranges, as in 200-299,301",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check persistent; } }",
            "it belongs to \"mandatory\": write both",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check mandatory=on; } }",
            "\"mandatory\" and \"persistent\" take no value",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check timeout=2s; } }",
            "the time that a probe may take is a directive of its own: \"health_check_timeout 2s;\" beside \"health_check\"",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check rise=2; } }",
            "as in NGINX Plus it is \"passes=\": so many probes in a row make a server healthy",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check fall=2; } }",
            "as in NGINX Plus it is \"fails=\": so many failed probes in a row make a server unhealthy",
        ),
        (
            "stream { server { listen 1; proxy_pass a:1; health_check send=\\xZZ; } }",
            "a byte is \\x and two hexadecimal digits, as in \\x0d\\x0a",
        ),
        (
            "stream { match m { send \\xZZ; } }",
            "a byte is \\x and two hexadecimal digits, as in \\x0d\\x0a",
        ),
        (
            "stream { server { listen 1; return a; access_log a lb_json interim=500ms; } }",
            "it is a time of at least 1s, such as 30s or 5m",
        ),
        (
            "stream { server { listen 1; return a; access_log a lb_jsn; } }",
            "did you mean \"lb_json\"?",
        ),
        (
            "stream { map $remote_addr $x { ~[\\w-.]+ a; } }",
            "in a character class, write \"-\" last, or as \"\\-\"",
        ),
        (
            "stream { geo $x { proxy 10.0.0.0/8; } }",
            "\"proxy\" belongs to the \"geo\" of HTTP: \"set_real_ip_from\" names the proxies whose PROXY header counts",
        ),
        (
            "stream { upstream u { server 10.0.0.1:1 slow_start=x; } }",
            "a time is a number with a unit, such as 500ms, 30s, 5m or 1h30m",
        ),
        (
            "stream { upstream u { hash a; server 10.0.0.1:1 slow_start=9s; } }",
            "as in nginx, servers of \"hash\" and \"random\" have their whole share at once: leave \"slow_start=\" out, or balance by \"least_conn\", \"least_time\" or round robin",
        ),
        (
            "stream { lb_admin off; }",
            "leave \"lb_admin\" out: without it there is no admin server",
        ),
        (
            "stream { upstream u { hash $remote_addr consistent; server 10.0.0.1:1; server 10.0.0.2:1 backup; } }",
            "as in nginx, \"hash\" and \"random\" use no backups: leave \"backup\" out, or balance by \"least_conn\", \"least_time\" or round robin, which do",
        ),
        (
            "stream { lb_admin localhost:1; }",
            "write the address instead of the name, as in 127.0.0.1:9446",
        ),
        (
            "stream { lb_admin /run/x.sock; }",
            "write \"unix:\" in front of a path, as in unix:/run/lb.sock",
        ),
        (
            "stream { lb_admin unix:a; lb_admin unix:b; }",
            "there is one admin server: keep one \"lb_admin\", on an IP address or a unix socket",
        ),
        (
            "stream { server { listen 1; return a; access_log a.log json; } }",
            "the built-in format for JSON is \"lb_json\"",
        ),
        (
            "stream { server { listen 1; proxy_pass nodes; } }",
            "no \"upstream\" block has the name \"nodes\"; a host needs a port, as in \"nodes:443\"",
        ),
    ] {
        assert_eq!(hint_of(text).as_deref(), Some(expected), "{text}");
    }
    for (text, expected) in [
        (
            "stream {\nserver {\nlisten 1\nproxy_pass 127.0.0.1:1;\n}\n}",
            "the statement \"listen\" that begins in line 3 has no \";\" in front of \"proxy_pass\" in line 4",
        ),
        (
            "stream { upstream u {\nserver 127.0.0.1:1\nserver 127.0.0.1:2;\n} }",
            "the statement \"server\" that begins in line 2 has no \";\" in front of \"server\" in line 3",
        ),
        (
            "events { }\nstream\nserver { listen 1; }",
            "the statement \"stream\" that begins in line 2 has no \"{\" in front of \"server\" in line 3",
        ),
        (
            "stream { server { listen 1 proxy_pass 127.0.0.1:1; } }",
            "the statement \"listen\" that begins in line 1 has no \";\" in front of \"proxy_pass\" in line 1",
        ),
        (
            "stream { server {\nlisten 1;\nproxy_pass 127.0.0.1:1\n} }",
            "the statement \"proxy_pass\" that begins in line 3 has no \";\"",
        ),
        (
            "stream {\nserver {\nlisten \"1;\n} }",
            "the quote in line 3 is not closed",
        ),
        (
            "user\na",
            "the statement \"user\" that begins in line 1 has no \";\"",
        ),
        (
            "events { }\n}",
            "no block is open here: one \"}\" too many, here or further up",
        ),
        (
            "events { };",
            "there is no statement in front of this \";\", and the \"}\" of a block needs none",
        ),
        ("// a\nevents { }", "a comment begins with \"#\""),
        (
            "stream { server { location / { } } }",
            "\"location\" belongs to HTTP, which passes through unchanged: remove it",
        ),
        (
            "stream { upstream u { server 127.0.0.1; } }",
            "it needs a port, as in \"127.0.0.1:443\"",
        ),
        (
            "stream { upstream u { server 127.0.0.1:1 weigth=2; } }",
            "did you mean \"weight\"?",
        ),
        (
            "stream { server { listen 1 proxy_protocol=v3; } }",
            "\"proxy_protocol\" takes no value: both versions are read",
        ),
        (
            "stream { server { listen 1 default; } }",
            "did you mean \"default_server\"?",
        ),
        (
            "stream { server { listen 1; proxy_pass tcp://127.0.0.1:1; } }",
            "write the host and the port alone, without \"http://\" or \"tcp://\"",
        ),
        (
            "stream { server { listen 1; return $remote_adr; } }",
            "did you mean \"$remote_addr\"?",
        ),
        ("error_log stderr wanr;", "did you mean \"warn\"?"),
        (
            "stream { server { listen 1; allow localhost; } }",
            "clients are an address, a network such as 10.0.0.0/8, \"unix:\" or \"all\"",
        ),
        (
            "stream { map $remote_addr $x { ~^(?!10) a; } }",
            "the first regular expression of a \"map\" that matches decides: put one of what must not match in front of this \
             line, with the result of the default, and leave the look-around out",
        ),
    ] {
        assert_eq!(hint_of(text).as_deref(), Some(expected), "{text}");
    }
    let unknown = "stream { server { listen 1; proxy_pass a:1; health_check gently; } }";
    let hint = hint_of(unknown).expect("a hint");
    assert!(hint.contains("\"interval=\""), "{hint}");
    for text in [
        "nonsense;",
        "stream { match m { foo x; } }",
        "stream { map $remote_addr $x { ~^(?=10) a; } }",
        "foo;",
        "daemon maybe;",
    ] {
        assert_eq!(hint_of(text), None, "{text}");
    }
}
