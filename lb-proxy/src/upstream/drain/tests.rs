use lb_core::Snapshot;
use tokio::task::JoinSet;

use super::*;

const SESSIONS: usize = 500;
const SECOND: Duration = Duration::from_secs(1);

fn backend(port: u16) -> Backend {
    Backend::new(([192, 0, 2, 1], port).into())
}

/// 500 sessions of a backend that is a member.
fn sessions(drain: &SessionDrain, backend: &Backend) -> JoinSet<CloseReason> {
    let mut sessions = JoinSet::new();
    for _ in 0..SESSIONS {
        sessions.spawn(drain.watch(backend, || true).due());
    }
    sessions
}

fn change(drain: &SessionDrain, old: &[Backend], new: &[Backend]) {
    let snapshot = |backends: &[Backend]| Snapshot::from_backends(backends.iter().cloned());
    let (old, new) = (snapshot(old), snapshot(new));
    drain.update(&Delta::between(&old, &new), &new);
}

/// Lets time pass, and returns how many sessions are left.
async fn left_after(sessions: &mut JoinSet<CloseReason>, time: Duration) -> usize {
    // A little later than the moment, since timers are rounded up to the millisecond.
    tokio::time::sleep(time + Duration::from_millis(2)).await;
    while let Some(ended) = sessions.try_join_next() {
        assert_eq!(ended.unwrap(), CloseReason::BackendRemoved);
    }
    sessions.len()
}

async fn curve(on_loss: OnBackendLoss) -> Vec<usize> {
    let drain = SessionDrain::new(LossConfig {
        removed: on_loss,
        unhealthy: OnBackendLoss::Keep,
    });
    // A setting that is used somewhere, so that `Keep` is tested with signals.
    drain.used.store(true, Relaxed);
    let (leaves, stays) = (backend(1), backend(2));
    let mut sessions = sessions(&drain, &leaves);
    let mut staying = self::sessions(&drain, &stays);
    change(&drain, &[leaves, stays.clone()], &[stays]);
    let mut curve = Vec::new();
    for _ in 0..=10 {
        curve.push(left_after(&mut sessions, Duration::ZERO).await);
        left_after(&mut staying, SECOND - Duration::from_millis(4)).await;
    }
    assert_eq!(staying.len(), SESSIONS, "a backend that stays");
    curve
}

/// Whether each number is on the straight line, give or take two sessions.
fn assert_close(curve: &[usize], line: impl Fn(f64) -> f64) {
    for (second, &left) in curve.iter().enumerate() {
        let expected = (SESSIONS as f64 * line(second as f64)).round();
        assert!(
            (left as f64 - expected).abs() <= 2.0,
            "{expected} expected after {second} s: {curve:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn kept_sessions_stay() {
    assert_close(&curve(OnBackendLoss::Keep).await, |_| 1.0);
}

#[tokio::test(start_paused = true)]
async fn closing_is_spread_evenly() {
    let spread = 5 * SECOND;
    let curve = curve(OnBackendLoss::Close { spread }).await;
    assert_close(&curve, |second| (1.0 - second / 5.0).max(0.0));
    assert_eq!(curve[6..], [0; 5]);
}

#[tokio::test(start_paused = true)]
async fn closing_at_once_is_at_once() {
    let spread = Duration::ZERO;
    assert_eq!(curve(OnBackendLoss::Close { spread }).await, [0; 11]);
}

#[tokio::test(start_paused = true)]
async fn draining_lets_sessions_be_and_ends_them_by_the_deadline() {
    let (within, spread) = (8 * SECOND, 4 * SECOND);
    let curve = curve(OnBackendLoss::Drain { within, spread }).await;
    assert_close(&curve, |second| ((8.0 - second) / 4.0).clamp(0.0, 1.0));
    assert_eq!(curve[9..], [0; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_spread_longer_than_the_drain_is_the_drain() {
    let (within, spread) = (4 * SECOND, 60 * SECOND);
    let curve = curve(OnBackendLoss::Drain { within, spread }).await;
    assert_close(&curve, |second| (1.0 - second / 4.0).max(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_returns_keeps_what_is_left() {
    let spread = 4 * SECOND;
    let drain = SessionDrain::new(LossConfig {
        removed: OnBackendLoss::Close { spread },
        unhealthy: OnBackendLoss::Keep,
    });
    let one = [backend(1)];
    let mut sessions = sessions(&drain, &one[0]);
    change(&drain, &one, &[]);
    let left = left_after(&mut sessions, 2 * SECOND).await;
    assert!((245..=255).contains(&left), "{left}");
    change(&drain, &[], &one);
    assert_eq!(left_after(&mut sessions, 60 * SECOND).await, left);
    // Another instance at its address is not its return.
    let other = [one[0].clone().instance("other")];
    change(&drain, &one, &other);
    assert_eq!(left_after(&mut sessions, spread).await, 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_on_a_backend_that_has_left_are_notified() {
    let drain = SessionDrain::new(LossConfig {
        removed: OnBackendLoss::Close {
            spread: Duration::ZERO,
        },
        unhealthy: OnBackendLoss::Keep,
    });
    let late = drain.watch(&backend(1), || false);
    assert_eq!(late.due().await, CloseReason::BackendRemoved);
}

#[tokio::test(start_paused = true)]
async fn an_illness_ends_sessions_and_may_be_over_before() {
    let spread = 4 * SECOND;
    let drain = SessionDrain::new(LossConfig {
        removed: OnBackendLoss::Keep,
        unhealthy: OnBackendLoss::Close { spread },
    });
    let unhealthy = backend(1);
    let mut sessions = sessions(&drain, &unhealthy);
    drain.unhealthy(unhealthy.addr);
    // Repeated failed checks change nothing.
    for _ in 0..2 {
        tokio::time::sleep(SECOND).await;
        drain.unhealthy(unhealthy.addr);
    }
    drain.healthy(unhealthy.addr);
    tokio::time::sleep(60 * SECOND).await;
    let mut ended = 0;
    while let Some(reason) = sessions.try_join_next() {
        assert_eq!(reason.unwrap(), CloseReason::BackendUnhealthy);
        ended += 1;
    }
    assert!((245..=255).contains(&ended), "{ended}");
    // A removal that keeps sessions changes nothing for them.
    change(&drain, &[unhealthy], &[]);
    tokio::time::sleep(60 * SECOND).await;
    assert!(sessions.try_join_next().is_none());
}
