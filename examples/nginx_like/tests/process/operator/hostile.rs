//! Texts of others with control sequences of a terminal.

use serde_json::{Value, json};

use super::failures::{fake, send};
use super::operator;

/// Sets a title, clears the screen, forges a line, and turns the direction of the text.
const HOSTILE: &str = "x\u{1b}]0;y\u{7}\u{1b}[2J\u{9b}2J\r\nok\u{7f}\u{202e}z";

/// What a terminal shows of it.
const SHOWN: &str = r"x\u{1b}]0;y\u{7}\u{1b}[2J\u{9b}2J\r\nok\u{7f}\u{202e}z";

/// The documented example of a status, with each text of another machine replaced.
fn status() -> Value {
    let document = include_str!("../../../../../lb-proxy/docs/status.md");
    let (_, example) = document.split_once("```json").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let mut status: Value = serde_json::from_str(example).unwrap();
    replace_texts(&mut status);
    status["upstreams"][0]["policy_settings"] = json!({ HOSTILE: HOSTILE });
    // Of one address there is one backend.
    status["upstreams"][0]["backends"]
        .as_array_mut()
        .unwrap()
        .truncate(1);
    status
}

fn replace_texts(value: &mut Value) {
    match value {
        Value::String(text) => *text = HOSTILE.to_owned(),
        Value::Array(values) => values.iter_mut().for_each(replace_texts),
        Value::Object(fields) => fields.values_mut().for_each(replace_texts),
        _ => {}
    }
}

fn answer(path: &str) -> Value {
    match path {
        "/status.json" => status(),
        "/explain" => json!({
            "upstream": HOSTILE, "policy": HOSTILE, "key": HOSTILE, "queued": 1, "chosen": HOSTILE,
            "backends": [{
                "endpoint": HOSTILE, "name": HOSTILE, "source": HOSTILE, "verdict": HOSTILE, "chosen": true, "priority": 0,
                "weight": 1, "in_flight": 0, "tier_percent": 100, "panic": true
            }]
        }),
        "/sessions" => json!({
            "tracked": true, "matched": 1, "sessions": [{
                "id": 1, "phase": HOSTILE, "listener": HOSTILE, "client": HOSTILE, "upstream": HOSTILE, "backend": HOSTILE,
                "server_name": HOSTILE, "age_ms": 1, "bytes_to_backend": 1, "bytes_to_client": 1
            }]
        }),
        "/config" => json!({ "lines": [{ "file": HOSTILE, "line": 1, "text": HOSTILE }] }),
        "/log_level" => json!({ "level": HOSTILE, "before": HOSTILE, "by": HOSTILE }),
        _ => json!({ "backends": [{
            "upstream": HOSTILE, "backend": HOSTILE, "changed": true,
            "now": { "admin": HOSTILE, "weight": 1, "max_conns": null }
        }] }),
    }
}

fn assert_harmless(text: &str) {
    let controls = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(controls), "{text:?}");
}

const SUBCOMMANDS: &[&[&str]] = &[
    &["status"],
    &["explain", "--upstream", "u"],
    &["sessions"],
    &["config"],
    &["log-level"],
    &["log-level", "info"],
    &["drain", "u", "b"],
];

#[test]
fn no_text_of_another_machine_controls_the_terminal() {
    let address = fake(|request, stream| {
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        send(stream, "200 OK", &answer(path).to_string());
    });
    for subcommand in SUBCOMMANDS {
        let printed = operator(&[subcommand, &["--admin", &address][..]].concat()).stdout(0);
        assert!(printed.contains(SHOWN), "{printed}");
        assert!(!printed.contains('\u{202e}'), "{printed}");
        assert_harmless(&printed);
        assert!(
            !printed.lines().any(|line| line.starts_with("ok")),
            "{printed}"
        );
        let json = operator(&[subcommand, &["--json", "--admin", &address][..]].concat()).stdout(0);
        assert_harmless(&json);
        assert!(json.contains(r"\u001b]0;y\u0007"), "{json}");
    }
    let compared = operator(&["compare", &address, &address]).stdout(0);
    assert_harmless(&compared);
}

#[test]
fn an_error_of_the_server_is_one_harmless_line() {
    let address = fake(|request, stream| {
        let status = if request.starts_with("GET") {
            "404 x"
        } else {
            "403 x"
        };
        send(stream, status, &json!({ "error": HOSTILE }).to_string());
    });
    for (subcommand, code) in [
        (&["status"][..], 1),
        (&["sessions", "--json"], 1),
        (&["drain", "u", "b"], 4),
    ] {
        let failed = operator(&[subcommand, &["--admin", &address]].concat()).stderr(code);
        assert!(failed.contains(SHOWN), "{failed}");
        assert_eq!(failed.lines().count(), 1, "{failed}");
        assert_harmless(&failed);
    }
}
