//! Reports as data: what programs log or show of sessions, upstreams and reloads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_core::{AdminState, Backend, Delta, FailureEffect, Health, PickError};
use lb_discovery::Static;
use lb_proxy::events::{
    Attempt, AttemptError, AttemptOutcome, AttemptReport, AttemptStep, CloseReason, NoBackendCause,
    PrereadFailure, PrereadRefusal, Progress, RefusalDetail, Summary, UpstreamEvent,
};
use lb_proxy::first_bytes::PrereadError;
use lb_proxy::health::{CheckSettings, TcpCheck};
use lb_proxy::reports::{SessionFilter, SessionId, SessionOrder, SessionPhase};
use lb_proxy::{Listener, Pool, Proxy, Upstream};
use serde::Serialize;
use serde_json::{Value, json};
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager};
use test_support::sockets::loopback;
use tokio::io::AsyncReadExt;

fn written(report: impl Serialize) -> Value {
    serde_json::to_value(report).unwrap()
}

/// `report` without the fields that differ from run to run, which are numbers.
fn written_without(report: impl Serialize, fields: &[&str]) -> Value {
    let mut report = written(report);
    for field in fields {
        let removed = report.as_object_mut().unwrap().remove(*field);
        assert!(removed.is_some_and(|value| value.is_number()), "{field}");
    }
    report
}

#[test]
fn a_refusal_is_its_name_and_what_is_known_besides() {
    let mut preread = PrereadRefusal::new(1, PrereadFailure::Invalid);
    preread.error = Some(PrereadError::new("no such version"));
    for (refusal, expected, text) in [
        (
            RefusalDetail::ClientLimit { limit: 2 },
            json!({ "detail": "client_limit", "limit": 2 }),
            "client_limit: number 2",
        ),
        (
            RefusalDetail::NoBackend(NoBackendCause::Full),
            json!({ "detail": "full" }),
            "full",
        ),
        (
            RefusalDetail::Preread(preread),
            json!({ "detail": "invalid", "reader": 1, "error": "no such version" }),
            "invalid: no such version",
        ),
        (
            RefusalDetail::NoListener(([192, 0, 2, 1], 80).into()),
            json!({ "detail": "no_listener", "listener": "192.0.2.1:80" }),
            "no_listener: 192.0.2.1:80",
        ),
        (
            RefusalDetail::PassedTooOften,
            json!({ "detail": "passed_too_often" }),
            "passed_too_often",
        ),
        (
            RefusalDetail::Route("a\nb".into()),
            json!({ "detail": "route", "refusal": "a\nb" }),
            r"route: a\nb",
        ),
    ] {
        assert_eq!(refusal.to_string(), text);
        assert_eq!(written(&refusal), expected);
    }
}

#[test]
fn what_hooks_observe_of_a_session_is_written() {
    let upstream = Upstream::builder("nodes")
        .fixed(&["192.0.2.1:80"].into_iter().map(backend).collect())
        .unwrap();
    let node = backend("192.0.2.1:80");
    let refused = io::Error::from_raw_os_error(111);
    let mut attempt = Attempt::new(&upstream, &node, AttemptOutcome::Failed);
    attempt.error = Some(AttemptError::of(AttemptStep::Answer, &refused));
    attempt.elapsed = Duration::from_millis(1500);
    let expected = json!({
        "upstream": "nodes", "backend": { "addr": "192.0.2.1:80" }, "outcome": "failed",
        "error": "Connection refused (os error 111)", "ejects": false, "elapsed": 1.5,
    });
    assert_eq!(written(attempt), expected);

    let attempts = [AttemptReport::new(
        Arc::new(node.clone()),
        AttemptOutcome::Connected,
    )];
    let mut progress = Progress::new(SessionId::new(7), &upstream, &node);
    progress.attempts = &attempts;
    progress.bytes_to_client = 9;
    let report = json!({
        "backend": { "addr": "192.0.2.1:80" }, "outcome": "connected", "error": null, "began_after": null,
        "connected_after": null, "first_byte_after": null, "elapsed": 0.0, "bytes_sent": 0, "bytes_received": 0,
    });
    let expected = json!({
        "id": 7, "upstream": "nodes", "backend": { "addr": "192.0.2.1:80" }, "attempts": [report],
        "elapsed": 0.0, "connected_after": 0.0, "bytes_from_client": 0, "bytes_to_backend": 0, "bytes_to_client": 9,
    });
    assert_eq!(written(progress), expected);

    let (limit, full) = (
        RefusalDetail::ClientLimit { limit: 0 },
        RefusalDetail::NoBackend(NoBackendCause::Empty),
    );
    let mut summary = Summary::new(SessionId::new(7), CloseReason::NoBackend);
    summary.upstream = Some(&upstream);
    summary.refusal = Some(&full);
    summary.observed = Some(&limit);
    let expected = json!({
        "id": 7, "reason": "no_backend", "phase": "preread", "refusal": { "detail": "empty" },
        "observed": { "detail": "client_limit", "limit": 0 }, "upstream": "nodes", "backend": null, "attempts": [],
        "elapsed": 0.0, "connected_after": null, "bytes_from_client": 0, "bytes_to_backend": 0,
        "bytes_to_client": 0, "client_ended_after": null, "backend_ended_after": null,
    });
    assert_eq!(written(summary), expected);
    let code = summary.termination();
    assert_eq!(written(code), json!(code.to_string()));
}

fn backend(addr: &str) -> Backend {
    addr.parse().unwrap()
}

#[test]
fn events_have_their_name_beside_their_fields() {
    let backend = Arc::new(backend("192.0.2.1:80"));
    let ejected = UpstreamEvent::Ejected {
        backend: Arc::clone(&backend),
        period: Duration::from_secs(10),
    };
    let health = UpstreamEvent::Health {
        backend,
        health: Health::Unhealthy,
    };
    let sets = [
        ["192.0.2.1:80", "192.0.2.2:80"],
        ["192.0.2.2:80", "[2001:db8::1]:80"],
    ];
    let [old, new] = sets.map(|set| set.into_iter().map(self::backend).collect());
    let membership = UpstreamEvent::Membership {
        delta: Arc::new(Delta::between(&old, &new)),
        backends: 2,
    };
    let delta = json!({
        "added": ["[2001:db8::1]:80"], "changed": [], "removed": ["192.0.2.1:80"],
    });
    let node = json!({ "addr": "192.0.2.1:80" });
    for (event, expected) in [
        (
            ejected,
            json!({ "event": "ejected", "backend": node, "period": 10.0 }),
        ),
        (
            health,
            json!({ "event": "health", "backend": node, "health": "unhealthy" }),
        ),
        (
            membership,
            json!({ "event": "membership", "delta": delta, "backends": 2 }),
        ),
        (
            UpstreamEvent::Forgiven { backends: 2 },
            json!({ "event": "forgiven", "backends": 2 }),
        ),
        (UpstreamEvent::Reloaded, json!({ "event": "reloaded" })),
    ] {
        assert_eq!(expected["event"], event.as_str());
        assert_eq!(written(event), expected);
    }
}

#[test]
fn names_are_the_same_in_text_and_data() {
    for error in PickError::ALL {
        assert_eq!(written(error), json!(error.as_str()));
    }
    for state in AdminState::ALL {
        assert_eq!(written(state), json!(state.to_string()));
    }
    for health in Health::ALL {
        assert_eq!(written(health), json!(health.to_string()));
    }
    for order in SessionOrder::ALL {
        assert_eq!(written(order), json!(order.to_string()));
        assert_eq!(SessionOrder::from_name(order.as_str()), Some(*order));
    }
    for phase in SessionPhase::ALL {
        assert_eq!(written(phase), json!(phase.to_string()));
    }
    for effect in FailureEffect::ALL {
        assert_eq!(written(effect), json!(effect.to_string()));
    }
    for failure in [PrereadFailure::Socket(Some(104)), PrereadFailure::TooLong] {
        assert_eq!(written(failure), json!(failure.to_string()));
    }
}

#[tokio::test]
async fn a_running_server_reports_its_sessions_changes_checks_and_reloads() {
    let node = Backend::new(listening("a").await);
    let upstream = Upstream::builder("nodes")
        .discovery(Static::new([node.clone()].into_iter().collect()))
        .discovery_config(eager())
        .health_check(TcpCheck::new(), CheckSettings::default())
        .build()
        .unwrap();
    let proxy = Proxy::builder()
        .track_sessions(true)
        .listener(Listener::new(loopback(), &upstream));
    let proxy = RunningProxy::run(proxy).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    let addr = client.local_addr().unwrap().to_string();
    let sessions = || proxy.handle.sessions(&SessionFilter::new());
    let relayed = || {
        sessions()
            .sessions
            .iter()
            .any(|one| one.bytes_to_client == 1)
    };
    eventually("the byte", relayed).await;
    let mut list = sessions();
    assert_eq!(written(&list)["matched"], 1);
    let expected = json!({
        "phase": "relaying", "listener": proxy.addr.to_string(), "peer": addr, "client": addr, "upstream": "nodes",
        "backend": written(list.sessions[0].backend.as_ref().unwrap()), "server_name": null,
        "bytes_to_backend": 0, "bytes_to_client": 1,
    });
    assert_eq!(
        written_without(list.sessions.remove(0), &["id", "age"]),
        expected
    );

    eventually("a probe", || upstream.health_checks()[0].probes > 0).await;
    let check = upstream.health_checks().remove(0);
    let numbers = ["since", "consecutive", "probes"];
    let mut written_check = written_without(&check, &numbers);
    let last = written_check.as_object_mut().unwrap().remove("last");
    let expected = json!({ "outcome": "passed", "text": "" });
    assert_eq!(
        written_without(last.unwrap(), &["at", "duration"]),
        expected
    );
    let expected = json!({
        "backend": written(&check.backend), "check": &*check.check, "state": "up", "reason": "",
        "last_inconclusive": null, "transitions": 0, "failures": 0, "inconclusive": 0,
    });
    assert_eq!(written_check, expected);
    assert_eq!(check.backend.addr, node.addr);

    upstream.set_health(node.addr, Health::Unhealthy);
    let transition = upstream.transitions().remove(0);
    let expected = json!({ "backend": node.addr.to_string(), "name": null, "kind": "unhealthy" });
    assert_eq!(written_without(&transition, &["at"]), expected);

    proxy.handle.note_failed_reload("line 3: no such word");
    let reload = proxy.handle.reload_history().remove(0);
    let expected = json!({ "report": null, "error": "line 3: no such word" });
    assert_eq!(written_without(&reload, &["at"]), expected);
    drop(client);
    proxy.end().await;
}

#[tokio::test]
async fn a_pool_reports_its_backends() {
    let pool = Pool::fixed(["192.0.2.1:80"]).unwrap();
    let mut status = written(pool.status());
    let joined = status["backends"][0]
        .as_object_mut()
        .unwrap()
        .remove("joined_at");
    assert!(joined.is_some_and(|at| at.is_u64()));
    let expected = json!({
        "is_ready": true, "eligible": 1, "sources": [],
        "backends": [{
            "backend": { "addr": "192.0.2.1:80" }, "in_flight": 0, "fails": 0, "connect_time": null,
            "health": "healthy", "ejected_until": null,
        }],
    });
    assert_eq!(status, expected);
}
