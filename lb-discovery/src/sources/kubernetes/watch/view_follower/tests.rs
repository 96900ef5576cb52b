//! The items of a view that changes, in paused time.

use lb_core::Backend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;

/// Has the state that the test sent last; fails without one.
struct Scripted {
    received: UnboundedReceiver<Option<ViewState>>,
    now: ViewState,
}

impl View for Scripted {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let received = self.received.recv().await.flatten();
        self.now = received.ok_or_else(|| error::unavailable("watching", "it fails"))?;
        Ok(())
    }

    fn state(&mut self) -> ViewState {
        self.now.clone()
    }
}

fn started() -> (UnboundedSender<Option<ViewState>>, SnapshotStream) {
    started_with(&WatchHistory::new(Duration::ZERO))
}

/// Another watch of the source with this history.
fn started_with(
    history: &Arc<WatchHistory>,
) -> (UnboundedSender<Option<ViewState>>, SnapshotStream) {
    let (sender, received) = unbounded_channel();
    let now = ViewState::Pending;
    let view = Scripted { received, now };
    (sender, follow("watching".into(), view, history))
}

fn at(port: u16) -> Option<ViewState> {
    let backend = Backend::new(([127, 0, 0, 1], port).into());
    Some(ViewState::Backends(Snapshot::from_backends([backend])))
}

fn nothing(reason: &str) -> Option<ViewState> {
    Some(ViewState::NoBackends(reason.to_owned()))
}

/// The port of the next set, or the next error.
async fn next(sets: &mut SnapshotStream) -> Result<u16, String> {
    let item = sets.next().await.unwrap();
    let port = item.map(|set| set.iter().next().unwrap().addr.port());
    port.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn no_backends_is_yielded_once_it_has_lasted() {
    let (sender, mut sets) = started();
    sender.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    sender.send(nothing("gone")).unwrap();
    let begin = Instant::now();
    assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
    assert!((SETTLE..SETTLE + 2 * GATHER).contains(&begin.elapsed()));
    // The stream continues, and neither another reason nor a set has to last.
    for received in [nothing("away"), at(2)] {
        let begin = Instant::now();
        sender.send(received).unwrap();
        drop(next(&mut sets).await);
        assert!(begin.elapsed() < 2 * GATHER);
    }
    sender.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));
    assert!(sets.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_within_the_delay_is_no_withdrawal() {
    let (sender, mut sets) = started();
    sender.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    sender.send(nothing("gone")).unwrap();
    let replace = async {
        sleep(3 * GATHER).await;
        sender.send(at(2)).unwrap();
    };
    let (received, ()) = tokio::join!(next(&mut sets), replace);
    assert_eq!(received, Ok(2));
    // If the set returns unchanged, there is no item.
    sender.send(nothing("gone")).unwrap();
    let restore = async {
        sleep(3 * GATHER).await;
        sender.send(at(2)).unwrap();
        sleep(10 * SETTLE).await;
        sender.send(at(3)).unwrap();
    };
    let (received, ()) = tokio::join!(next(&mut sets), restore);
    assert_eq!(received, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn no_backends_is_yielded_at_once_at_first() {
    let (sender, mut sets) = started();
    sender.send(nothing("never there")).unwrap();
    let begin = Instant::now();
    assert_eq!(
        next(&mut sets).await,
        Err("watching: never there".to_owned())
    );
    assert!(begin.elapsed() < GATHER);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_did_not_last_before_a_failure_is_not_yielded() {
    for wait in [Duration::ZERO, GATHER / 2, 3 * GATHER] {
        let (sender, mut sets) = started();
        sender.send(at(1)).unwrap();
        assert_eq!(next(&mut sets).await, Ok(1));
        sender.send(nothing("gone")).unwrap();
        let fail = async {
            sleep(wait).await;
            sender.send(None).unwrap();
        };
        let (received, ()) = tokio::join!(next(&mut sets), fail);
        assert_eq!(received, Err("watching: it fails".to_owned()));
        assert!(sets.next().await.is_none());
    }
    // Another set is yielded, and so is one that equals an earlier one.
    let (sender, mut sets) = started();
    sender.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    for received in [nothing("gone"), at(2), None] {
        sender.send(received).unwrap();
    }
    assert_eq!(next(&mut sets).await, Ok(2));
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_opened_again_waits_as_the_one_before() {
    let history = WatchHistory::new(Duration::ZERO);
    let (sender, mut sets) = started_with(&history);
    sender.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    sender.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));

    // No backends at first, then a set in time or a failure in time.
    for (then, expected) in [(at(2), Ok(2)), (None, Err("watching: it fails".to_owned()))] {
        let (sender, mut sets) = started_with(&history);
        sender.send(nothing("gone")).unwrap();
        let replace = async {
            sleep(3 * GATHER).await;
            sender.send(then).unwrap();
        };
        let (received, ()) = tokio::join!(next(&mut sets), replace);
        assert_eq!(received, expected);
    }
    // After it was yielded once, it is yielded at once.
    for wait in [SETTLE, Duration::ZERO] {
        let (sender, mut sets) = started_with(&history);
        let begin = Instant::now();
        sender.send(nothing("gone")).unwrap();
        assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
        assert!((wait..wait + 2 * GATHER).contains(&begin.elapsed()));
    }
}
