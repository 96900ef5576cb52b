//! Interim reports of sessions that last.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb_core::Backend;
use lb_proxy::events::{AttemptOutcome, Connection, Observation, Progress, Summary};
use lb_proxy::reports::SessionId;
use lb_proxy::{Hooks, Listener};
use test_support::deadline::eventually;
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, upstream};
use test_support::sockets::{loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A session's number, age, attempts, and bytes to the backend and to the client.
type Reported = (SessionId, Duration, usize, u64, u64);

#[derive(Debug, Default)]
struct ProgressRecorder {
    reports: Mutex<Vec<Reported>>,
    ended: Mutex<Vec<SessionId>>,
    observation: Observation,
}

impl Hooks for ProgressRecorder {
    fn observes(&self) -> Observation {
        self.observation
    }

    fn progress(&self, connection: &Connection, progress: &Progress<'_>) {
        assert_eq!(connection.client, connection.peer);
        assert_eq!(progress.upstream.name(), "test");
        assert_eq!(progress.bytes_from_client, progress.bytes_to_backend);
        let last = progress.attempts.last().unwrap();
        assert_eq!(last.outcome, AttemptOutcome::Connected);
        assert_eq!(last.backend.addr, progress.backend.addr);
        assert_eq!(last.bytes_sent, progress.bytes_to_backend);
        assert!(progress.connected_after <= progress.elapsed);
        self.reports.lock().unwrap().push((
            progress.id,
            progress.elapsed,
            progress.attempts.len(),
            progress.bytes_to_backend,
            progress.bytes_to_client,
        ));
    }

    fn close(&self, _: &Connection, summary: &Summary<'_>) {
        self.ended.lock().unwrap().push(summary.id);
    }
}

/// What the hooks observe of a session that lasts for 35 seconds, with reports every ten.
async fn observed(observation: Observation) -> Arc<ProgressRecorder> {
    let (_held, dead) = refusing();
    let upstream = upstream([dead, listening("b").await].map(Backend::new));
    let recorder = Arc::new(ProgressRecorder {
        observation,
        ..ProgressRecorder::default()
    });
    let listener = Listener::new(loopback(), &upstream).hooks(recorder.clone());
    let interval = Some(Duration::from_secs(10));
    let proxy = RunningProxy::start(listener.report_interval(interval), None).await;
    let mut client = proxy.connect().await;
    client.write_all(b"hello").await.unwrap();
    client.read_u8().await.unwrap();
    eventually("the bytes", || proxy.metrics().bytes_to_backends == 5).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(35)).await;
    tokio::time::resume();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    proxy.end().await;
    recorder
}

#[tokio::test]
async fn a_session_that_lasts_is_reported_at_the_interval() {
    let recorder = observed(Observation::Everything).await;
    let reports = recorder.reports.lock().unwrap();
    let ended = recorder.ended.lock().unwrap();
    assert_eq!((reports.len(), ended.len()), (3, 1));
    for (number, (id, age, attempts, to_backend, to_client)) in reports.iter().enumerate() {
        assert_eq!((*id, *attempts), (ended[0], 2));
        assert_eq!((*to_backend, *to_client), (5, 1));
        assert!(*age >= Duration::from_secs(10) * (number as u32 + 1));
    }
}

#[tokio::test]
async fn hooks_that_do_not_observe_everything_get_no_reports() {
    for observation in [Observation::Failures, Observation::Ends] {
        let recorder = observed(observation).await;
        assert!(recorder.reports.lock().unwrap().is_empty());
    }
}
