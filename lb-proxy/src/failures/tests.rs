use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::time::advance;

use super::kind::*;
use super::*;
use crate::close_reason::CloseReason;
use test_support::log::Capture;

const DENIED: Failure = Failure::Client(CloseReason::AccessDenied);

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn deny(failures: &FailureReports, client: u16) {
    let event = FailureEvent {
        listener: Some(at(446).into()),
        client: Some(at(client)),
        ..FailureEvent::default()
    };
    failures.record(DENIED, &event);
}

#[tokio::test(start_paused = true)]
async fn the_first_failures_are_reported_at_once_and_the_rest_as_one_count() {
    let log = Capture::install();
    let failures = FailureReports::default();
    for client in 1..=1000 {
        deny(&failures, client);
    }
    assert_eq!(log.take().len(), 3);
    for _ in 0..9 {
        advance(Duration::from_secs(1)).await;
        failures.report_due();
    }
    assert_eq!(log.take(), [] as [String; 0]);
    advance(Duration::from_secs(1)).await;
    failures.report_due();
    let lines = log.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "WARN",
        "Clients refused",
        "listener=127.0.0.1:446",
        "clients=997",
        "address denied",
        "client.addr=127.0.0.1:4",
    ] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_one_report_in_ten_seconds_however_many_fail() {
    let log = Capture::install();
    let failures = FailureReports::default();
    for _ in 0..100 {
        for client in 0..50 {
            deny(&failures, client);
        }
        failures.report_due();
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(log.take().len(), 3 + 9);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_and_nothing_is_kept_when_nothing_fails_any_more() {
    let log = Capture::install();
    let failures = FailureReports::default();
    for client in 0..10 {
        deny(&failures, client);
    }
    for _ in 0..120 {
        advance(Duration::from_secs(1)).await;
        failures.report_due();
    }
    assert_eq!(log.take().len(), 4);
    assert!(failures.lock().is_empty());
    assert!(!failures.used.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_last_counts_are_flushed() {
    let log = Capture::install();
    let failures = FailureReports::default();
    failures.flush();
    for client in 0..10 {
        deny(&failures, client);
    }
    assert_eq!(log.take().len(), 3);
    failures.flush();
    failures.flush();
    let lines = log.take();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("clients=7"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn kinds_are_counted_apart_and_their_number_is_bounded() {
    let log = Capture::install();
    let failures = FailureReports::default();
    let upstream: Arc<str> = "nodes".into();
    let event = FailureEvent {
        listener: Some(at(446).into()),
        upstream: Some(&upstream),
        error: Some(&"\u{1b}[2J\nforged"),
        ..FailureEvent::default()
    };
    failures.record(Failure::Client(CloseReason::NoBackend), &event);
    failures.record(Failure::Connect(ConnectFailure::Backend), &event);
    let lines = log.take();
    assert!(lines[0].contains("ERROR") && lines[0].contains("Clients without a backend"));
    assert!(lines[0].contains("upstream=\"nodes\"") && lines[0].contains(r"\u{1b}[2J\nforged"));
    assert!(lines[1].contains("WARN") && lines[1].contains("Attempts to connect failed"));
    for number in 0..20 * MAX_KINDS as u64 {
        let upstream = number.to_string().into();
        let event = FailureEvent {
            upstream: Some(&upstream),
            ..FailureEvent::default()
        };
        failures.record(Failure::Connect(ConnectFailure::Backend), &event);
    }
    assert!(failures.lock().len() <= MAX_KINDS + 1);
}
