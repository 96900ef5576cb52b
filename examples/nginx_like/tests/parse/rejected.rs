//! What is refused, with which words, on which line.

use super::{In, In::*, NAME, parse};

/// A piece of configuration, the line of its error and the error. These are the words of nginx 1.22.
#[rustfmt::skip]
pub(super) const AS_NGINX: &[(In, &str, usize, &str)] = &[
    // The structure of the text.
    (Main, "user nginx\n}", 2, r#"unexpected "}""#),
    (Main, "}", 1, r#"unexpected "}""#),
    (Main, "{", 1, r#"unexpected "{""#),
    (Main, "\n;", 2, r#"unexpected ";""#),
    (Main, "user", 1, r#"unexpected end of file, expecting ";" or "}""#),
    (Main, "user \"nginx\n", 2, r#"unexpected end of file, expecting ";" or "}""#),
    (Main, "stream {\n", 2, r#"unexpected end of file, expecting "}""#),
    (Main, "stream {\nupstream u {\nserver 10.0.0.1:446;", 3, r#"unexpected end of file, expecting "}""#),
    (Main, "stream {\n}\n}", 3, r#"unexpected "}""#),
    (Main, "user \"nginx\"x;", 1, r#"unexpected "x""#),
    (Main, "user nginx {", 1, r#"directive "user" is not terminated by ";""#),
    (Main, "stream\n;", 2, r#"directive "stream" has no opening "{""#),
    (Main, "include a { }", 1, r#"directive "include" is not terminated by ";""#),
    (UpstreamServer, "{ }", 2, r#"directive "server" is not terminated by ";""#),
    // Directives and where they stand.
    (Main, "foo;", 1, r#"unknown directive "foo""#),
    (Main, "user\nroot;\nUser\nroot;", 4, r#"unknown directive "User""#),
    (Main, "\"\";", 1, r#"unknown directive """#),
    (Main, "stream { lisen 1;", 1, r#"unknown directive "lisen""#),
    (Server, "proxy_pas u;", 2, r#"unknown directive "proxy_pas""#),
    (Main, "worker_connections 1;", 1, r#""worker_connections" directive is not allowed here"#),
    (Stream, "worker_processes 1;", 2, r#""worker_processes" directive is not allowed here"#),
    (Stream, "listen 446;", 2, r#""listen" directive is not allowed here"#),
    (Stream, "proxy_pass u;", 2, r#""proxy_pass" directive is not allowed here"#),
    (Stream, "zone u 64k;", 2, r#""zone" directive is not allowed here"#),
    (Upstream, "listen 446;", 2, r#""listen" directive is not allowed here"#),
    (Server, "server { }", 2, r#""server" directive is not allowed here"#),
    (Server, "upstream u { }", 2, r#""upstream" directive is not allowed here"#),
    (Server, "least_conn;", 2, r#""least_conn" directive is not allowed here"#),
    // Numbers of arguments.
    (Main, "user;", 1, r#"invalid number of arguments in "user" directive"#),
    (Main, "user a b c;", 1, r#"invalid number of arguments in "user" directive"#),
    (Main, "stream x { }", 1, r#"invalid number of arguments in "stream" directive"#),
    (Main, "events x { }", 1, r#"invalid number of arguments in "events" directive"#),
    (Main, "include;", 1, r#"invalid number of arguments in "include" directive"#),
    (Main, "error_log;", 1, r#"invalid number of arguments in "error_log" directive"#),
    (Stream, "upstream { }", 2, r#"invalid number of arguments in "upstream" directive"#),
    (Stream, "upstream a b { }", 2, r#"invalid number of arguments in "upstream" directive"#),
    (Upstream, "server;", 2, r#"invalid number of arguments in "server" directive"#),
    (Upstream, "least_conn x;", 2, r#"invalid number of arguments in "least_conn" directive"#),
    (Upstream, "random two least_conn x;", 2, r#"invalid number of arguments in "random" directive"#),
    (Upstream, "zone;", 2, r#"invalid number of arguments in "zone" directive"#),
    (Server, "proxy_timeout;", 2, r#"invalid number of arguments in "proxy_timeout" directive"#),
    (Server, "proxy_timeout 1 2;", 2, r#"invalid number of arguments in "proxy_timeout" directive"#),
    (Server, "resolver;", 2, r#"invalid number of arguments in "resolver" directive"#),
    (Server, "listen;", 2, r#"invalid number of arguments in "listen" directive"#),
    // Duplicates.
    (Main, "user root;\nuser root;", 2, r#""user" directive is duplicate"#),
    (Main, "worker_processes 1;\nworker_processes 1;", 2, r#""worker_processes" directive is duplicate"#),
    (Main, "daemon on;\ndaemon x;", 2, r#""daemon" directive is duplicate"#),
    (Main, "stream { }\nstream {\n}", 2, r#""stream" directive is duplicate"#),
    (Events, "worker_connections 1; worker_connections 1;", 2, r#""worker_connections" directive is duplicate"#),
    (Events, "use epoll; use epoll;", 2, r#""use" directive is duplicate"#),
    (Events, "accept_mutex on; accept_mutex on;", 2, r#""accept_mutex" directive is duplicate"#),
    (Server, "proxy_pass u;", 2, r#""proxy_pass" directive is duplicate"#),
    (Server, "proxy_timeout 1; proxy_timeout 1;", 2, r#""proxy_timeout" directive is duplicate"#),
    (Server, "proxy_next_upstream on; proxy_next_upstream on;", 2, r#""proxy_next_upstream" directive is duplicate"#),
    (Stream, "resolver 10.0.0.1; resolver 10.0.0.1;", 2, r#""resolver" directive is duplicate"#),
    (Stream, "resolver_timeout 1; resolver_timeout 1;", 2, r#""resolver_timeout" directive is duplicate"#),
    (StreamWithU, "upstream u {", 2, r#"duplicate upstream "u""#),
    (StreamWithU, "upstream U {", 2, r#"duplicate upstream "U""#),
    (Server, "listen 446;", 2, r#"duplicate "0.0.0.0:446" address and port pair"#),
    (Server, "listen *:446;", 2, r#"duplicate "0.0.0.0:446" address and port pair"#),
    (Server, "listen [::1]:446;\nlisten [0::1]:446;", 3, r#"duplicate "[::1]:446" address and port pair"#),
    // Values.
    (Main, "daemon maybe;", 1, r#"invalid value "maybe" in "daemon" directive, it must be "on" or "off""#),
    (Main, "worker_processes x;", 1, r#""worker_processes" directive invalid value"#),
    (Main, "worker_processes -1;", 1, r#""worker_processes" directive invalid value"#),
    (Main, "worker_rlimit_nofile x;", 1, r#""worker_rlimit_nofile" directive invalid number"#),
    (Main, "error_log stderr foo;", 1, r#"invalid log level "foo""#),
    (Main, "error_log stderr warn info;", 1, r#"duplicate log level "info""#),
    (Server, "error_log stderr WARN;", 2, r#"invalid log level "WARN""#),
    (Events, "worker_connections x;", 2, r#"invalid number "x""#),
    (Events, "use poll;", 2, r#"invalid event type "poll""#),
    (Events, "multi_accept x;", 2, r#"invalid value "x" in "multi_accept" directive, it must be "on" or "off""#),
    (Server, "proxy_timeout 1x;", 2, r#""proxy_timeout" directive invalid value"#),
    (Server, "proxy_timeout 1y;", 2, r#""proxy_timeout" directive invalid value"#),
    (Server, "proxy_connect_timeout -1;", 2, r#""proxy_connect_timeout" directive invalid value"#),
    (Stream, "proxy_next_upstream x;", 2, r#"invalid value "x" in "proxy_next_upstream" directive, it must be "on" or "off""#),
    (Stream, "proxy_next_upstream_tries x;", 2, r#""proxy_next_upstream_tries" directive invalid number"#),
    (Stream, "proxy_next_upstream_timeout x;", 2, r#""proxy_next_upstream_timeout" directive invalid value"#),
    (Stream, "resolver 10.0.0.1 valid=x;", 2, "invalid parameter: valid=x"),
    (Stream, "resolver 10.0.0.1 ipv6=ON;", 2, "invalid parameter: ipv6=ON"),
    (Stream, "resolver 10.0.0.1:x;", 2, r#"invalid port in resolver "10.0.0.1:x""#),
    (Stream, "resolver valid=10s;", 2, "no name servers defined"),
    (Stream, "resolver_timeout x;", 2, r#""resolver_timeout" directive invalid value"#),
    // listen
    (Listen, "0", 2, r#"invalid port in "0" of the "listen" directive"#),
    (Listen, "65536", 2, r#"invalid port in "65536" of the "listen" directive"#),
    (Listen, "127.0.0.1:", 2, r#"invalid port in "127.0.0.1:" of the "listen" directive"#),
    (Listen, ":446", 2, r#"no host in ":446" of the "listen" directive"#),
    (Listen, "[::", 2, r#"invalid host in "[::" of the "listen" directive"#),
    (Listen, "[x]:446", 2, r#"invalid IPv6 address in "[x]:446" of the "listen" directive"#),
    (Listen, "446/tcp", 2, r#"invalid host in "446/tcp" of the "listen" directive"#),
    (Listen, "446 foo", 2, r#"the invalid "foo" parameter"#),
    (Listen, "446 reuseport=1", 2, r#"the invalid "reuseport=1" parameter"#),
    (Listen, "446 backlog=0", 2, r#"invalid backlog "backlog=0""#),
    (Listen, "446 backlog=-1", 2, r#"invalid backlog "backlog=-1""#),
    (Listen, "[::]:446 ipv6only=x", 2, r#"the invalid "ipv6only=x" parameter"#),
    (Listen, "[::]:446 ipv6only=o", 2, r#"invalid ipv6only flags "o""#),
    // upstream
    (Upstream, "\n\n", 5, "no servers are inside upstream"),
    (Upstream, "random three;", 2, r#"invalid parameter "three""#),
    (Upstream, "random two three;", 2, r#"invalid parameter "three""#),
    (Upstream, "zone \"\" 64k;", 2, r#"invalid zone name """#),
    (Upstream, "zone u 64x;", 2, r#"invalid zone size "64x""#),
    (Upstream, "zone u 1k;", 2, r#"zone "u" is too small"#),
    (Upstream, "server 10.0.0.1;", 2, r#"no port in upstream "10.0.0.1""#),
    (Upstream, "server 10.0.0.1:0;", 2, r#"invalid port in upstream "10.0.0.1:0""#),
    (Upstream, "server :446;", 2, r#"no host in upstream ":446""#),
    (Upstream, "server a/b:446;", 2, r#"invalid host in upstream "a/b:446""#),
    (Upstream, "server [::1;", 2, r#"invalid host in upstream "[::1""#),
    (Upstream, "server [x]:446;", 2, r#"invalid IPv6 address in upstream "[x]:446""#),
    (UpstreamServer, "foo", 2, r#"invalid parameter "foo""#),
    (UpstreamServer, "down=1", 2, r#"invalid parameter "down=1""#),
    (UpstreamServer, "weight=0", 2, r#"invalid parameter "weight=0""#),
    (UpstreamServer, "weight=", 2, r#"invalid parameter "weight=""#),
    (UpstreamServer, "weight", 2, r#"invalid parameter "weight""#),
    (UpstreamServer, "max_fails=-1", 2, r#"invalid parameter "max_fails=-1""#),
    (UpstreamServer, "max_conns=x", 2, r#"invalid parameter "max_conns=x""#),
    (UpstreamServer, "fail_timeout=500ms", 2, r#"invalid parameter "fail_timeout=500ms""#),
    (Upstream, "random;\nserver 10.0.0.1:446 backup;", 3, r#"balancing method does not support parameter "backup""#),
    // Between blocks.
    (Stream, "upstream u { server 10.0.0.1:446 backup; }", 2, r#"no servers in upstream "u""#),
    (Stream, "\nserver {\nlisten 446;\n}", 3, "no handler for server"),
    (Main, "stream {\nserver {\n}", 2, r#"no "listen" is defined for server"#),
    (Stream, "\nserver {\nproxy_pass 10.0.0.1:446;\n}", 3, r#"no "listen" is defined for server"#),
    (Stream, "server { listen 446; proxy_pass\n10.0.0.1:99999; }", 3, r#"invalid port in upstream "10.0.0.1:99999""#),
    (Stream, "server { listen 446; proxy_pass\nu; }", 3, r#"no port in upstream "u""#),
    (Stream, "server { listen 446; proxy_pass [::1]; }", 2, r#"no port in upstream "[::1]""#),
    (Stream, "server { listen 446; proxy_pass \"\"; }", 2, r#"no host in upstream """#),
    (Stream, "server { listen 446; proxy_pass tcp://u; }", 2, r#"invalid host in upstream "tcp://u""#),
    (StreamWithU, "server { listen 446; proxy_pass U:446; }", 2, r#"upstream "U" may not have port 446"#),
    (Stream, "server { listen 446;\nproxy_pass u:446; }\nupstream u { server 10.0.0.1:446; }", 3, r#"upstream "u" may not have port 446"#),
];

/// The same where nginx_like says something else on purpose. The last column is what nginx 1.22 says, without the place,
/// or `None` if it takes the piece.
#[rustfmt::skip]
pub(super) const OURS: &[(In, &str, usize, &str, Option<&str>)] = &[
    // Directives that are not there yet.
    (Main, "http { }", 1, r#"the "http" block is not supported, nginx_like only does "stream""#, None),
    (Main, "env PATH;", 1, r#"the "env" directive is not supported yet"#, None),
    (Upstream, "hash $remote_addr;", 2, r#"the "hash" directive is not supported yet"#, Some("no servers are inside upstream")),
    (Stream, "map $remote_addr $name { }", 2, r#"the "map" directive is not supported yet"#, None),
    (Stream, "limit_conn_zone $remote_addr zone=a:1m;", 2, r#"the "limit_conn_zone" directive is not supported yet"#, None),
    (Server, "proxy_ssl on;", 2, r#"the "proxy_ssl" directive is not supported yet"#, None),
    (Server, "ssl_preread on;", 2, r#"the "ssl_preread" directive is not supported yet"#, None),
    (Server, "proxy_protocol on;", 2, r#"the "proxy_protocol" directive is not supported yet"#, None),
    (Server, "allow all;", 2, r#"the "allow" directive is not supported yet"#, None),
    (Server, "access_log off;", 2, r#"the "access_log" directive is not supported yet"#, None),
    (Server, "return x;", 2, r#"the "return" directive is not supported yet"#, None),
    (Server, "proxy_half_close on;", 2, r#"the "proxy_half_close" directive is not supported yet"#, None),
    // Parameters that are not there yet.
    (Main, "error_log syslog:server=10.0.0.1;", 1, r#"logging to "syslog:server=10.0.0.1" is not supported yet"#, None),
    (Main, "error_log memory:1m;", 1, r#"logging to "memory:1m" is not supported yet"#, None),
    (Main, "error_log stderr debug_core;", 1, r#"the "debug_core" parameter of the "error_log" directive is not supported yet"#, None),
    (Listen, "446 ssl", 2, r#"the "ssl" parameter of the "listen" directive is not supported yet"#, Some(r#"no "ssl_certificate" is defined for the "listen ... ssl" directive"#)),
    (Listen, "446 udp", 2, r#"the "udp" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 proxy_protocol", 2, r#"the "proxy_protocol" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 fastopen=9", 2, r#"the "fastopen=9" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 so_keepalive=on", 2, r#"the "so_keepalive=on" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 rcvbuf=1m", 2, r#"the "rcvbuf=1m" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 sndbuf=1m", 2, r#"the "sndbuf=1m" parameter of the "listen" directive is not supported yet"#, None),
    (Listen, "446 deferred", 2, r#"the "deferred" parameter of the "listen" directive is not supported yet"#, Some(r#"the invalid "deferred" parameter"#)),
    (Listen, "446 setfib=1", 2, r#"the "setfib=1" parameter of the "listen" directive is not supported yet"#, Some(r#"the invalid "setfib=1" parameter"#)),
    (UpstreamServer, "slow_start=30s", 2, r#"the "slow_start=30s" parameter of the "server" directive is not supported yet"#, Some(r#"invalid parameter "slow_start=30s""#)),
    (UpstreamServer, "service=http", 2, r#"the "service=http" parameter of the "server" directive is not supported yet"#, Some(r#"invalid parameter "service=http""#)),
    // Addresses.
    (Listen, "127.0.0.1", 2, r#"no port in "127.0.0.1" of the "listen" directive"#, None),
    (Listen, "localhost:446", 2, r#"host names are not supported yet in "localhost:446" of the "listen" directive"#, None),
    (Listen, "446-450", 2, r#"port ranges are not supported yet in "446-450" of the "listen" directive"#, None),
    (Listen, "unix:/tmp/nginx_like.sock", 2, r#"unix domain sockets are not supported yet in "unix:/tmp/nginx_like.sock" of the "listen" directive"#, None),
    (Server, "listen 127.0.0.1:446;", 2, r#""127.0.0.1:446" overlaps "0.0.0.0:446", which is not supported yet"#, None),
    (Server, "listen [::]:446 ipv6only=off;", 2, r#""[::]:446" overlaps "0.0.0.0:446", which is not supported yet"#, None),
    (Upstream, "server unix:/run/a.sock;", 2, r#"unix domain sockets are not supported yet in upstream "unix:/run/a.sock""#, None),
    (Upstream, "server 10.0.0.256:446;", 2, r#"invalid host in upstream "10.0.0.256:446""#, Some(r#"host not found in upstream "10.0.0.256:446""#)),
    (Upstream, "server $node:446;", 2, r#"invalid host in upstream "$node:446""#, Some(r#"host not found in upstream "$node:446""#)),
    (Upstream, "server 010.0.0.1:446;", 2, r#"invalid host in upstream "010.0.0.1:446""#, None),
    (Stream, "server { listen 446; proxy_pass $remote_addr:446; }", 2, r#"variables are not supported yet in upstream "$remote_addr:446""#, None),
    (Stream, "server { listen 446; proxy_pass unix:/run/a.sock; }", 2, r#"unix domain sockets are not supported yet in upstream "unix:/run/a.sock""#, None),
    (Stream, "resolver dns.invalid;", 2, r#"host names are not supported yet in resolver "dns.invalid""#, Some(r#"host not found in resolver "dns.invalid""#)),
    // Values that cannot be right, or that do not fit.
    (Main, "worker_processes 0;", 1, r#""worker_processes" directive invalid value"#, None),
    (Main, "worker_processes 1025;", 1, r#""worker_processes" directive invalid value"#, None),
    (Events, "worker_connections 0;", 2, r#"invalid number "0""#, Some("0 worker_connections are not enough for 0 listening sockets")),
    (Listen, "446 backlog=2147483648", 2, r#"invalid backlog "backlog=2147483648""#, None),
    (UpstreamServer, "weight=65536", 2, r#"a weight over 65535 is not supported in "weight=65536""#, None),
    (UpstreamServer, "max_conns=4294967296", 2, r#"invalid parameter "max_conns=4294967296""#, None),
    (Server, "proxy_timeout 6000w;", 2, r#""proxy_timeout" directive invalid value"#, None),
    (Stream, "resolver 10.0.0.1 ipv4=off ipv6=off;", 2, r#""ipv4" and "ipv6" cannot both be "off""#, Some(r#"host not found in resolver "ipv4=off""#)),
    // Kubernetes, which nginx does not know.
    (Upstream, "kubernetes;", 2, r#"invalid number of arguments in "kubernetes" directive"#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes echo;", 2, r#"no namespace in "echo", it must be NAMESPACE/SERVICE"#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes /echo;", 2, r#"no namespace in "/echo", it must be NAMESPACE/SERVICE"#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo port=0;", 2, r#"invalid parameter "port=0""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo port=65536;", 2, r#"invalid parameter "port=65536""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo port=a/b;", 2, r#"invalid parameter "port=a/b""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo\naddress=pods;", 3, r#"invalid parameter "address=pods""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo kubeconfig=;", 2, r#"invalid parameter "kubeconfig=""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes default/echo weight=2;", 2, r#"invalid parameter "weight=2""#, Some(r#"unknown directive "kubernetes""#)),
    (Upstream, "kubernetes_pods default/app=echo;", 2, r#"invalid number of arguments in "kubernetes_pods" directive"#, Some(r#"unknown directive "kubernetes_pods""#)),
    (Upstream, "kubernetes_pods default/app=echo context=a;", 2, r#"no "port=" in "kubernetes_pods" directive"#, Some(r#"unknown directive "kubernetes_pods""#)),
    (Upstream, "kubernetes_pods default/app=echo port=446 address=node;", 2, r#"invalid parameter "address=node""#, Some(r#"unknown directive "kubernetes_pods""#)),
    (Upstream, "kubernetes_pods app=echo port=446;", 2, r#"no namespace in "app=echo", it must be NAMESPACE/LABEL_SELECTOR"#, Some(r#"unknown directive "kubernetes_pods""#)),
    // nginx only looks at the methods before the server, and then never uses the backup.
    (Upstream, "server 10.0.0.1:446;\nserver 10.0.0.2:446 backup;\nrandom;", 3, r#"balancing method does not support parameter "backup""#, None),
];

#[test]
fn as_nginx() {
    for &(place, text, line, error) in AS_NGINX {
        check(place, text, line, error);
    }
}

#[test]
fn ours() {
    for &(place, text, line, error, _) in OURS {
        check(place, text, line, error);
    }
}

fn check(place: In, text: &str, line: usize, error: &str) {
    let text = place.wrap(text);
    let result = parse(&text).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(result, Err(format!("{error} in {NAME}:{line}")), "{text}");
}
