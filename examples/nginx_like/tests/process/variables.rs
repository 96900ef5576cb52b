//! Variables of real connections, by the server that `hash` chooses for their values.

use std::iter::once;

use lb_proxy::proxy_protocol::{Addresses, Tlv, write_v1, write_v2};
use rustix::process::Signal;
use test_support::client_hello::asking_for;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::hash::start_nginx_if_asked;
use crate::proxy::NginxLike;
use crate::server_names::named;
use crate::sockets::answer;

/// Servers that `hash` spreads keys over.
struct Hashed(String);

impl Hashed {
    async fn start() -> Self {
        let mut servers = String::new();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            servers += &format!("server {};\n", named(name).await);
        }
        Self(servers)
    }

    /// A stream block with a server that hashes `key`.
    fn stream(&self, block: &str, key: &str, listen: &str, server: &str) -> String {
        format!(
            "{block} upstream u {{ hash \"{key}\"; {} }}
            server {{ listen LISTEN {listen}; {server} proxy_pass u; }}",
            self.0
        )
    }

    /// The server of the literal `key`.
    async fn of(&self, key: &str) -> String {
        let proxy = NginxLike::start("", &self.stream("", key, "", "")).await;
        ask(&proxy, b"").await
    }
}

/// The server of a connection that begins with `first`.
async fn ask(proxy: &NginxLike, first: &[u8]) -> String {
    let mut client = TcpStream::connect(proxy.addr).await.unwrap();
    client.write_all(first).await.unwrap();
    answer(&mut client).await
}

#[tokio::test]
async fn keys_have_the_name_and_the_address_of_the_client() {
    let servers = Hashed::start().await;
    let key = "$ssl_preread_server_name$remote_addr-$ssl_preread_protocol";
    let stream = servers.stream("", key, "", "ssl_preread on;");
    let proxy = NginxLike::start("", &stream).await;
    for (first, expected) in [
        (asking_for("a.test"), "a.test127.0.0.1-TLSv1.2"),
        (asking_for("b.test"), "b.test127.0.0.1-TLSv1.2"),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "127.0.0.1-"),
    ] {
        assert_eq!(
            ask(&proxy, &first).await,
            servers.of(expected).await,
            "{expected}"
        );
    }
}

#[tokio::test]
async fn a_regular_expression_captures_a_part_of_the_name() {
    let servers = Hashed::start().await;
    let block = r#"map $ssl_preread_server_name $key {
        ~^(?<tenant>[a-z]+)\.(\w+)\.test$  "$2 of $tenant";
        ""                                 "no name";
        default                            "another name";
    }"#;
    let stream = servers.stream(block, "$key/$tenant", "", "ssl_preread on;");
    let proxy = NginxLike::start("", &stream).await;
    for (first, expected) in [
        (asking_for("shop.eu.test"), "eu of shop/shop"),
        (asking_for("blog.us.test"), "us of blog/blog"),
        (asking_for("example.com"), "another name/"),
        (b"SSH-2.0-x\r\n".to_vec(), "no name/"),
    ] {
        assert_eq!(
            ask(&proxy, &first).await,
            servers.of(expected).await,
            "{expected}"
        );
    }
}

#[tokio::test]
async fn a_proxy_header_is_read_whether_or_not_it_is_trusted() {
    let servers = Hashed::start().await;
    let ends = Addresses::new(
        "192.0.2.1:4242".parse().unwrap(),
        "198.51.100.1:443".parse().unwrap(),
    );
    let (mut first, mut second) = (Vec::new(), Vec::new());
    write_v1(Some(ends), &mut first);
    // PP2_TYPE_SSL: the client has shown a certificate that was not verified, and its cipher.
    let ssl = [&[7, 0, 0, 0, 18][..], &[Tlv::SSL_CIPHER, 0, 3], b"ABC"].concat();
    let tlvs = [
        Tlv::new(Tlv::AUTHORITY, b"tlv.test"),
        Tlv::new(0xE0, b"own"),
        Tlv::new(Tlv::SSL, &ssl),
    ];
    write_v2(Some(ends), tlvs, false, &mut second).unwrap();
    let block = "map $proxy_protocol_tlv_authority $owner { tlv.test known; default unknown; }";
    let key = "$owner $proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port \
               $proxy_protocol_tlv_0xE0 $proxy_protocol_tlv_ssl_cipher $proxy_protocol_tlv_ssl_verify $remote_addr \
               $realip_remote_addr";
    for (trusted, client) in [
        ("", "127.0.0.1"),
        ("set_real_ip_from 127.0.0.1;", "192.0.2.1"),
    ] {
        let stream = servers.stream(block, key, "proxy_protocol", trusted);
        let proxy = NginxLike::start("", &stream).await;
        for (header, owner, tlvs) in [(&first, "unknown", "  "), (&second, "known", "own ABC 18")] {
            let addrs = "192.0.2.1:4242 198.51.100.1:443";
            let expected = format!("{owner} {addrs} {tlvs} {client} 127.0.0.1");
            assert_eq!(
                ask(&proxy, header).await,
                servers.of(&expected).await,
                "{expected}"
            );
        }
    }
}

#[tokio::test]
async fn set_runs_for_the_client_of_the_proxy_header() {
    let servers = Hashed::start().await;
    let block = "split_clients $remote_addr $part { 60% one; * other; }
        geo $x $net { 192.0.2.0/24 inside; default outside; }";
    let server = "set_real_ip_from 127.0.0.1; set $x $remote_addr; set $y \"$x is $net\";";
    let stream = servers.stream(block, "$y$part", "proxy_protocol", server);
    let proxy = NginxLike::start("", &stream).await;
    for (source, expected) in [
        ("192.0.2.1:1", "192.0.2.1 is insideother"),
        ("198.51.100.1:1", "198.51.100.1 is outsideone"),
    ] {
        let ends = Addresses::new(source.parse().unwrap(), proxy.addr);
        let mut header = Vec::new();
        write_v1(Some(ends), &mut header);
        assert_eq!(
            ask(&proxy, &header).await,
            servers.of(expected).await,
            "{expected}"
        );
    }
}

#[tokio::test]
async fn a_reload_replaces_a_map_that_a_key_of_an_unchanged_upstream_reads() {
    let servers = Hashed::start().await;
    let stream = |value: &str| {
        let block = format!("map $server_addr $key {{ default {value}; }}");
        servers.stream(&block, "x$key", "", "")
    };
    let proxy = NginxLike::start("", &stream("one")).await;
    assert_eq!(ask(&proxy, b"").await, servers.of("xone").await);
    for value in ["two", "three", "four"] {
        proxy.reload("", &stream(value)).await;
        assert_eq!(
            ask(&proxy, b"").await,
            servers.of(&format!("x{value}")).await
        );
    }
    proxy.signal(Signal::TERM);
    assert!(proxy.exit().await.success());
}

/// The values of nginx 1.22 for a client at 127.0.0.1, and the texts.
const OF_NGINX: &[(&str, &str)] = &[
    ("$net", "0.127.127"),
    ("<$of_addr>", "<<0.127.127>>"),
    ("$optional $zeros", "[]2 2"),
    ("$chain", "2"),
    ("$wildcard $regex", "long first"),
    ("$empty $escaped [$none]", "nothing escaped []"),
    ("$split", "rest"),
    ("$host $range $mapped $nowhere", "host inner four none"),
    ("$assigned $over", "12of-map assigned"),
    ("$protocol $remote_addr", "TCP 127.0.0.1"),
];

#[tokio::test]
async fn texts_are_those_of_nginx() {
    let texts = OF_NGINX.iter().map(|(text, _)| *text).collect::<Vec<_>>();
    let stream = format!(
        r#"map $remote_addr $net {{ ~^(?<first>\d+)\.(\d+)\. $2.$1.$first; }}
        map $server_addr $of_addr {{ 127.0.0.1 <$net>; }}
        map $remote_addr $optional {{ ~^1(x)?(?<zeros>2+) [$1]$2; }}
        map a $x {{ default one; }} map $x $chain {{ default $z; }} map a $X {{ default two; }}
        map $x $z {{ two 2; default $x$later; }} map b $later {{ b 2; }}
        map "A.Example.COM." $wildcard {{
            hostnames; .example.com long; *.com short; a.example.* trailing; ~. regex; default d;
        }}
        map "A.Example.COM" $regex {{ hostnames; b.* w; ~*EXAMPLE first; ~example second; default d; }}
        map "" $empty {{ "" nothing; ~^$ regex; default d; }}
        map default $escaped {{ \default escaped; default d; }}
        map a $none {{ b c; }}
        split_clients $remote_addr $split {{ 70% one; * rest; }}
        geo $host {{ default d; 127.0.0.0/8 net; 127.0.0.1 host; }}
        geo $server_addr $range {{ ranges; default d; 127.0.0.0-127.2.0.0 r; 127.0.0.1-127.0.0.1 inner; }}
        map x $six {{ default ::ffff:10.0.0.1; }}
        geo $six $mapped {{ 10.0.0.0/8 four; ::/0 six; }}
        map x $no_address {{ default nonsense; }}
        geo $no_address $nowhere {{ 255.255.255.255 none; default d; }}
        map $remote_addr $over {{ default of-map; }}
        server {{
            listen LISTEN;
            set $assigned 1; set $ASSIGNED "${{assigned}}2$over"; set $over assigned;
            return "{}";
        }}"#,
        texts.join("|")
    );
    let ours = NginxLike::start("", &stream).await;
    let dir = tempfile::tempdir().unwrap();
    let theirs = start_nginx_if_asked(dir.path(), &stream).await;
    let proxies = once(ours.addr).chain(theirs.as_ref().map(|started| started.0));
    let expected = OF_NGINX.iter().map(|(_, value)| *value).collect::<Vec<_>>();
    for addr in proxies {
        let mut client = TcpStream::connect(addr).await.unwrap();
        let values = answer(&mut client).await;
        assert_eq!(values.split('|').collect::<Vec<_>>(), expected, "by {addr}");
    }
}
