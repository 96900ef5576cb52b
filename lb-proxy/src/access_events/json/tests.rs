use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lb_core::Backend;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::close_reason::CloseReason;
use crate::hooks::{AttemptOutcome, AttemptReport, RefusalDetail};
use crate::live_sessions::SessionPhase;
use crate::preread_info::PrereadInfo;
use crate::session_id::SessionId;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn connection(server_name: Option<&[u8]>, header: &[u8]) -> Connection {
    let mut connection = Connection::new(addr("192.0.2.7:5000"), addr("[::]:443"));
    connection.peer = addr("192.0.2.9:1000");
    connection.preread = Some(Arc::new(PrereadInfo {
        server_name: server_name.map(Into::into),
        header: header.into(),
        is_trusted: true,
        ..PrereadInfo::default()
    }));
    connection
}

fn attempt(backend: Backend, outcome: AttemptOutcome) -> AttemptReport {
    AttemptReport {
        backend: Arc::new(backend),
        outcome,
        error: None,
        began_after: Some(Duration::from_micros(700)),
        connected_after: None,
        first_byte_after: Some(Duration::from_micros(1500)),
        elapsed: Duration::from_millis(20),
        bytes_sent: 3,
        bytes_received: 4,
    }
}

fn summary<'a>(reason: CloseReason, attempts: &'a [AttemptReport]) -> Summary<'a> {
    Summary {
        id: SessionId::new(17),
        reason,
        phase: SessionPhase::Relaying,
        refusal: None,
        observed: None,
        upstream: None,
        backend: attempts.last().map(|attempt| &*attempt.backend),
        attempts,
        elapsed: Duration::from_micros(1_234_567),
        connected_after: Some(Duration::from_millis(2)),
        bytes_from_client: 1,
        bytes_to_backend: 2,
        bytes_to_client: 3,
        client_ended_after: None,
        backend_ended_after: Some(Duration::from_secs(1)),
    }
}

/// The event on the only line that the hooks write.
fn event(connection: &Connection, summary: &Summary<'_>) -> Value {
    let mut line = Vec::new();
    JsonEvents::append_end(connection, summary, &mut line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(line.last(), Some(&b'\n'));
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn the_fields_of_an_event_are_those_of_the_document() {
    let backend = Backend::new(addr("10.0.0.1:446"));
    let backend = backend.name("pod-7").source("dns echo");
    let attempts = [
        attempt(Backend::new(addr("10.0.0.2:446")), AttemptOutcome::Timeout),
        attempt(backend, AttemptOutcome::Connected),
    ];
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n";
    let connection = connection(Some(b"www.example.com"), header);
    let mut event = event(&connection, &summary(CloseReason::ClientReset, &attempts));
    let fields = event.as_object_mut().unwrap();
    assert!(fields.remove("time").unwrap().as_f64().unwrap() > 1.7e9);
    let expected = json!({
        "event": "close",
        "session": 17,
        "listener": "[::]:443",
        "local": "[::]:443",
        "peer": "192.0.2.9:1000",
        "client": "192.0.2.7:5000",
        "proxy_source": "192.0.2.7:5000",
        "proxy_destination": "192.0.2.1:443",
        "server_name": "www.example.com",
        "backend": "10.0.0.1:446",
        "backend_name": "pod-7",
        "backend_source": "dns echo",
        "attempts": [
            {
                "backend": "10.0.0.2:446", "outcome": "timeout", "began_after": 0.0007, "elapsed": 0.02,
                "first_byte_after": 0.0015, "bytes_sent": 3, "bytes_received": 4,
            },
            {
                "backend": "10.0.0.1:446", "backend_name": "pod-7", "backend_source": "dns echo",
                "outcome": "connected", "began_after": 0.0007, "elapsed": 0.02,
                "first_byte_after": 0.0015, "bytes_sent": 3, "bytes_received": 4,
            },
        ],
        "elapsed": 1.234567,
        "connected_after": 0.002,
        "bytes_from_client": 1,
        "bytes_to_backend": 2,
        "bytes_to_client": 3,
        "backend_ended_after": 1.0,
        "reason": "client_reset",
        "phase": "relaying",
        "termination": "CL",
    });
    assert_eq!(event, expected);
    let document = include_str!("../../../docs/access-events.md");
    for field in expected.as_object().unwrap().keys() {
        assert!(document.contains(&format!("| `{field}` |")), "{field}");
    }
    for reason in CloseReason::ALL {
        assert!(document.contains(&format!("`{}`", reason.as_str())));
    }
}

#[test]
fn a_line_lists_the_last_attempts() {
    let attempts = (0..100).map(|port| {
        let backend = Backend::new(([10, 0, 0, 1], port).into());
        attempt(backend, AttemptOutcome::Failed)
    });
    let attempts: Vec<_> = attempts.collect();
    let event = event(
        &connection(None, b""),
        &summary(CloseReason::NoBackend, &attempts),
    );
    let listed = event["attempts"].as_array().unwrap();
    assert_eq!((listed.len(), &event["attempts_omitted"]), (32, &json!(68)));
    assert_eq!(listed[31]["backend"], "10.0.0.1:99");
    assert_eq!(event.get("server_name"), None);
}

proptest! {
    #[test]
    fn any_text_from_outside_makes_one_bounded_line(
        server_name in prop::option::of(prop::collection::vec(any::<u8>(), 0..600)),
        name in "\\PC{0,300}|[\\x00-\\x1f\"\\\\\u{2028}]{0,300}",
        reason in any::<String>(),
    ) {
        let backend = Backend::new(addr("10.0.0.1:446")).name(name.as_str());
        let attempts = [attempt(backend, AttemptOutcome::Failed)];
        let refusal = RefusalDetail::Route(Cow::Owned(reason.clone()));
        let mut summary = summary(CloseReason::RouteRefused, &attempts);
        summary.refusal = Some(&refusal);
        let mut line = Vec::new();
        let connection = connection(server_name.as_deref(), b"");
        JsonEvents::append_end(&connection, &summary, &mut line);
        // Each byte of a text takes six at most.
        prop_assert!(line.len() < 6 * 4 * 256 + 1500);
        let event = serde_json::from_slice::<Value>(&line).unwrap();
        let refused = event["refusal"].as_str().unwrap();
        prop_assert!(reason.starts_with(refused) && refused.len() <= 256);
        let known = event["backend_name"].as_str().unwrap();
        prop_assert!(name.starts_with(known) && known.len() <= 256);
        if let Some(host) = event.get("server_name") {
            prop_assert!(!host.as_str().unwrap().contains(char::is_control));
        }
    }
}
