//! Values of texts with variables, for one connection.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_proxy::events::Connection;
use lb_proxy::reports::SessionId;

use super::stream;
use crate::config::stream::Stream;
use crate::config::upstream::method::Method;
use crate::variables::context::Context;
use crate::variables::session::SessionState;
use crate::variables::value::Value;

/// A connection of 10.1.2.3:5000 to 192.0.2.9:446.
fn connection() -> Connection {
    let [client, local] = ["10.1.2.3:5000", "192.0.2.9:446"].map(|addr| addr.parse().unwrap());
    Connection::new(client, local)
}

/// A stream block with the texts as keys of `hash`.
fn read(block: &str, texts: &[&str]) -> (Stream, Vec<Value>) {
    let upstreams = texts
        .iter()
        .enumerate()
        .map(|(i, text)| format!("upstream u{i} {{ hash \"{text}\"; server 10.0.0.1:1; }}\n"));
    let stream = stream(&format!("{}{block}", upstreams.collect::<String>()));
    let keys = stream
        .upstreams
        .iter()
        .filter_map(|upstream| match &upstream.method {
            Method::Hash { key, .. } => Some(key.clone()),
            _ => None,
        });
    let keys = keys.collect();
    (stream, keys)
}

/// The values of `texts` in one session of the first server, one after the other.
fn values(block: &str, texts: &[&str]) -> Vec<String> {
    let (stream, keys) = read(block, texts);
    let assignments = stream.servers.first();
    let assignments = assignments.map(|server| Arc::clone(&server.assignments));
    let state = SessionState::new(&stream.variables, &assignments.unwrap_or_default(), false);
    let connection = connection()
        .with_session_id(SessionId::new(7))
        .with_data(state);
    let keys = keys.iter().map(|key| {
        // Each directive has a context of its own.
        let context = Context::new(&stream.variables, &connection);
        String::from_utf8(key.get(&context).into_owned()).unwrap()
    });
    keys.collect()
}

fn value(block: &str, text: &str) -> String {
    values(block, &[text]).remove(0)
}

#[test]
fn built_in_variables_are_those_of_the_connection() {
    for (text, expected) in [
        ("$remote_addr:$remote_port", "10.1.2.3:5000"),
        ("${SERVER_addr}x$server_port", "192.0.2.9x446"),
        ("$realip_remote_addr-$realip_remote_port", "10.1.2.3-5000"),
        ("$protocol $nginx_version", "TCP 1.31.5"),
        (
            "[$proxy_protocol_addr$proxy_protocol_tlv_alpn$proxy_protocol_tlv_0xE0]",
            "[]",
        ),
        (
            "[$ssl_preread_server_name$ssl_preread_protocol$ssl_preread_alpn_protocols]",
            "[]",
        ),
        ("[$upstream_addr$limit_conn_status$1]", "[]"),
        ("$status", "000"),
        ("$bytes_sent$bytes_received", "00"),
    ] {
        assert_eq!(value("", text), expected, "{text}");
    }
    assert_eq!(value("", "$pid"), std::process::id().to_string());
    assert!(!value("", "$hostname").is_empty());
    assert_eq!(value("", "$connection"), "7");
}

#[test]
fn times_are_written_as_in_nginx() {
    // 2026-11-29T17:02:46+00:00 and 29/Nov/2026:17:02:46 +0000
    let shape = |text: &str| {
        let digit = |c: char| if c.is_ascii_digit() { '0' } else { c };
        text.replace('-', "+")
            .chars()
            .map(digit)
            .collect::<String>()
    };
    assert_eq!(
        shape(&value("", "$time_iso8601")),
        "0000+00+00T00:00:00+00:00"
    );
    let local = value("", "$time_local");
    assert_eq!(
        shape(&format!("{}Mon{}", &local[..3], &local[6..])),
        "00/Mon/0000:00:00:00 +0000"
    );
    let (seconds, millis) = value("", "$msec")
        .split_once('.')
        .map(|(a, b)| (a.len(), b.len()))
        .unwrap();
    assert_eq!((seconds, millis), (10, 3));
}

#[test]
fn a_literal_is_not_copied() {
    let (stream, keys) = read("", &["constant"]);
    let connection = connection();
    let context = Context::new(&stream.variables, &connection);
    assert!(matches!(keys[0].get(&context), Cow::Borrowed(b"constant")));
}

#[test]
fn a_map_finds_the_best_key_whatever_its_case() {
    let map = r#"map $remote_addr:x $source { default A.Example.COM.; }
        map $source $plain { a.example.com. exact; .example.com literal; ~. regex; }
        map $source $names {
            hostnames; .example.com long; *.com short; a.example.* trailing; ~. regex; default d;
        }
        map $source $exact { hostnames; ~. regex; *.example.com w; A.EXAMPLE.com exact; }
        map $source $trailing { hostnames; a.* short; a.example.* long; ~. regex; }
        map $source $regex { hostnames; b.* wildcard; ~*EXAMPLE first; ~example second; default d; }
        map $source $case { ~EXAMPLE sensitive; default d; }
        map $source $none { a b; }
        map "" $empty { "" nothing; ~^$ regex; default d; }
        map default $word { \default escaped; default d; }
        map ~a $tilde { \~a escaped; default d; }"#;
    for (text, expected) in [
        ("$plain", "exact"),
        ("$names", "long"),
        ("$exact", "exact"),
        ("$trailing", "long"),
        ("$regex", "first"),
        ("$case", "d"),
        ("[$none]", "[]"),
        ("$empty", "nothing"),
        ("$word", "escaped"),
        ("$tilde", "escaped"),
    ] {
        assert_eq!(value(map, text), expected, "{text}");
    }
}

#[test]
fn values_of_maps_have_variables_and_captures() {
    let map = r#"
        map $remote_addr $net { ~^(?<first>\d+)\.(\d+)\. $2.$1.$first; }
        map $server_port $of_port { 446 <$net>; }
        map $remote_port $optional { ~^5(x)?(?<zeros>0+) [$1]$2; }
        map $remote_addr $two { default $of_port/$later; }
        map x $later { default "$protocol"; }"#;
    for (text, expected) in [
        ("$net", "1.10.10"),
        ("$of_port", "<1.10.10>"),
        ("$optional $zeros", "[]000 000"),
        ("$two", "<1.10.10>/TCP"),
        // As in nginx: nothing has matched yet, and then the last match counts.
        ("[$first][$1] $net [$first][$1]", "[][] 1.10.10 [10][10]"),
        ("$net$optional$2", "1.10.10[]000000"),
    ] {
        assert_eq!(value(map, text), expected, "{text}");
    }
    // What one directive has captured another one reads, in the same session.
    assert_eq!(values(map, &["$net", "$1-$first"]), ["1.10.10", "10-10"]);
}

#[test]
fn a_match_without_groups_forgets_captures() {
    let map = "map $remote_addr $a { ~^(10) $1; } map $remote_addr $b { ~^10 none; }";
    assert_eq!(value(map, "$a$b[$1]"), "10none[]");
}

#[test]
fn the_last_definition_counts_and_may_follow_its_use() {
    let maps = "map a $x { default one; } map $x $y { default $z; } map a $X { default two; }
        map $x $z { two 2; }";
    assert_eq!(value(maps, "$x$y"), "two2");
}

#[test]
fn variables_that_need_each_other_are_empty() {
    let maps = "map $b $a { default a$b; } map $a $b { default b$a; }";
    let [cyclic, other] = [value(maps, "$a"), value(maps, "x$remote_port")];
    assert!(cyclic.len() <= 100, "{cyclic}");
    assert_eq!(other, "x5000");
}

#[test]
fn what_follows_a_cyclic_variable_has_its_value() {
    let maps =
        "map $b $a { default a$b; } map $a $b { default b$a; } map $msec $now { default $msec; }
        map $remote_port $port { default $remote_port; } map x$now$a $both { default $a$now; }";
    let sets = "server { listen 446; set $cyclic $a; set $port_set $port; set $now_set x$now; return ''; }";
    let block = format!("{maps} {sets}");
    let texts = [
        "$a[$remote_port $port]",
        "$cyclic[$port_set $now_set]",
        "$both[$now]",
    ];
    let values = values(&block, &texts);
    let rest = |value: &str| value.split_once('[').unwrap().1.to_owned();
    assert_eq!(rest(&values[0]), "5000 5000]");
    let now = rest(&values[2]);
    assert!(now.len() > 1, "{now}");
    assert_eq!(rest(&values[1]), format!("5000 x{now}"));
}

#[test]
fn a_session_computes_what_could_change_once_unless_it_is_volatile() {
    let maps = "map $msec $now { default $msec; } map $msec $anew { volatile; default $msec; }";
    let (stream, keys) = read(maps, &["$now", "$anew"]);
    let state = SessionState::new(&stream.variables, &Arc::default(), false);
    let connection = connection().with_data(state);
    let get = |i: usize| {
        keys[i]
            .get(&Context::new(&stream.variables, &connection))
            .into_owned()
    };
    let before = [get(0), get(1)];
    let begin = Instant::now();
    while get(1) == before[1] {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(get(0), before[0]);
}

/// As in nginx, whose sessions have both from the begin.
#[test]
fn a_session_that_goes_on_has_lasted_some_time() {
    let (stream, keys) = read("", &["$session_time"]);
    let state = SessionState::new(&stream.variables, &Arc::default(), false);
    let connection = connection().with_data(state);
    let context = Context::new(&stream.variables, &connection);
    let time = || String::from_utf8(keys[0].get(&context).into_owned()).unwrap();
    let begin = Instant::now();
    while ["0.000", ""].contains(&time().as_str()) {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(time().find('.'), Some(1), "{}", time());
}

/// Evaluating each use again would take 2^40 steps.
#[test]
fn what_several_maps_need_is_computed_once() {
    const LEVELS: usize = 40;
    for last in [
        "map $remote_port $m0 { }",
        "map $remote_port $m0 { volatile; }",
    ] {
        let maps: String = (1..=LEVELS)
            .map(|n| format!("map $m{0}$m{0} $m{n} {{ default $m{0}$m{0}; }} ", n - 1))
            .collect();
        let text = format!("[$m{LEVELS}$m{LEVELS}]");
        assert_eq!(value(&format!("{last} {maps}"), &text), "[]", "{last}");
    }
    let maps = "map $remote_port $a { default a$remote_port; } map x$a $b { xa5000 b$a; }
        map $b$a $c { ba5000a5000 c$b; default d; } map $c $d { default $c$b; } map $c $e { default $d$c; }";
    let expected = "cba5000ba5000cba5000 ba5000";
    assert_eq!(value(maps, "$e $b"), expected);
}

#[test]
fn set_assigns_in_the_order_of_the_text() {
    let block = r#"
        map $remote_addr $mapped { default of-map; }
        map $x $twice { default $x$x; }
        server {
            listen 1; proxy_pass 10.0.0.1:1;
            set $x 1; set $X "${x}2$mapped"; set $mapped assigned; set $y $twice;
        }
        server { listen 2; proxy_pass 10.0.0.1:1; set $elsewhere 1; }"#;
    let texts = ["$x", "$mapped", "$y", "[$elsewhere]"];
    let expected = ["12of-map", "assigned", "12of-map12of-map", "[]"];
    assert_eq!(values(block, &texts), expected);
}

#[test]
fn values_of_another_configuration_are_computed_without_the_session() {
    let block = "map $remote_addr $a { ~(\\d+) $1; }";
    let (old, _) = read(block, &["$a"]);
    let (new, keys) = read(block, &["$protocol", "$a"]);
    let state = SessionState::new(&old.variables, &Arc::default(), false);
    let connection = connection().with_data(state);
    let context = Context::new(&new.variables, &connection);
    assert_eq!(*keys[1].get(&context), *b"10");
}

#[test]
fn what_reads_the_first_bytes_is_known() {
    let block = "map $ssl_preread_server_name $name { default a; } map $b $c { default $name; }
        map $remote_addr $b { default b; }
        server { listen 1; proxy_pass 10.0.0.1:1; set $set $ssl_preread_server_name; }";
    for (text, expected) in [
        ("constant", false),
        ("$remote_addr$msec", false),
        ("$ssl_preread_protocol", true),
        ("$proxy_protocol_tlv_0x01", true),
        ("$name", true),
        ("$b", false),
        ("x$c", true),
        ("$set", true),
    ] {
        let (stream, keys) = read(block, &[text]);
        let reads = keys[0].reads_first_bytes(&stream.variables);
        assert_eq!(reads, expected, "{text}");
    }
}

#[test]
fn what_reads_the_course_of_a_session_is_known() {
    let block = "map $upstream_session_time $slow { default a; } map $b $c { default $slow; }
        map $status $b { default b; } map $remote_addr $captured { ~(\\d+) $1; }
        server { listen 1; proxy_pass 10.0.0.1:1; set $set $status; }";
    for (text, expected) in [
        ("constant", false),
        (
            "$remote_addr [$time_local] $protocol $status $bytes_sent $session_time",
            false,
        ),
        (
            "$upstream_addr $upstream_bytes_sent $lb_reason $msec",
            false,
        ),
        ("$connection", true),
        ("$lb_termination", true),
        ("$upstream_connect_time", true),
        ("$upstream_first_byte_time", true),
        ("$slow", true),
        ("$b", false),
        ("x$c", true),
        ("$captured", true),
        ("$set", true),
    ] {
        let (stream, keys) = read(block, &[text]);
        let reads = stream.variables.read_course(keys[0].variables());
        assert_eq!(reads, expected, "{text}");
    }
}

#[test]
fn a_geo_has_the_text_of_the_longest_prefix_or_the_range() {
    let geo = r#"
        geo $net { default d; 10.0.0.0/8 $8; 10.1.0.0/16 16; 10.1.2.3 host; ::/0 six; }
        geo $bare { 10.1.2.3/32 host; delete 10.1.2.3; }
        geo $server_addr $server { 192.0.2.0/24 near; default far; }
        geo $nowhere $none { 255.255.255.255 none; default d; }
        geo $mapped $four { 10.0.0.0/8 four; ::/0 six; }
        map x $mapped { default ::ffff:10.0.0.1; }
        map x $nowhere { default nonsense; }
        geo $range { ranges; default d; 10.0.0.0-10.2.0.0 r; 10.1.2.3-10.1.2.3 inner; }
        geo $server_addr $other { ranges; default d; 10.0.0.0-10.2.0.0 r; }"#;
    for (text, expected) in [
        ("$net", "host"),
        ("[$bare]", "[]"),
        ("$server", "near"),
        ("$none", "none"),
        ("$four", "four"),
        ("$range$other", "innerd"),
    ] {
        assert_eq!(value(geo, text), expected, "{text}");
    }
    let values = value("geo $net { 10.0.0.0/8 $remote_port; }", "$net");
    assert_eq!(
        values, "$remote_port",
        "as in nginx, the text has no variables"
    );
}

#[test]
fn a_split_has_the_text_of_the_part_of_a_hash() {
    // The hash of 10.1.2.3 is 0x029caf79, a little over 1 % of all.
    for (parts, expected) in [
        ("1% one; 1% two; * rest;", "two"),
        ("1.03% one; * rest;", "one"),
        ("1% $a;", ""),
        ("* rest;", "rest"),
    ] {
        let block = format!("split_clients $remote_addr $split {{ {parts} }}");
        assert_eq!(value(&block, "$split"), expected, "{parts}");
    }
}
