//! The items of a view that changes, in paused time.

use lb_core::Backend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;

/// Has the state that the test sent last; fails without one.
struct Scripted {
    told: UnboundedReceiver<Option<ViewState>>,
    now: ViewState,
}

impl View for Scripted {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let told = self.told.recv().await.flatten();
        self.now = told.ok_or_else(|| error::unavailable("watching", "it fails"))?;
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
    let (tell, told) = unbounded_channel();
    let now = ViewState::Pending;
    let view = Scripted { told, now };
    (tell, follow("watching".into(), view, history))
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
    let (tell, mut sets) = started();
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(nothing("gone")).unwrap();
    let begin = Instant::now();
    assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
    assert!((SETTLE..SETTLE + 2 * GATHER).contains(&begin.elapsed()));
    // The stream continues, and neither another reason nor a set has to last.
    for told in [nothing("away"), at(2)] {
        let begin = Instant::now();
        tell.send(told).unwrap();
        drop(next(&mut sets).await);
        assert!(begin.elapsed() < 2 * GATHER);
    }
    tell.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));
    assert!(sets.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_within_the_delay_is_no_withdrawal() {
    let (tell, mut sets) = started();
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(nothing("gone")).unwrap();
    let replace = async {
        sleep(3 * GATHER).await;
        tell.send(at(2)).unwrap();
    };
    let (told, ()) = tokio::join!(next(&mut sets), replace);
    assert_eq!(told, Ok(2));
    // If the set returns unchanged, there is no item.
    tell.send(nothing("gone")).unwrap();
    let restore = async {
        sleep(3 * GATHER).await;
        tell.send(at(2)).unwrap();
        sleep(10 * SETTLE).await;
        tell.send(at(3)).unwrap();
    };
    let (told, ()) = tokio::join!(next(&mut sets), restore);
    assert_eq!(told, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn no_backends_is_yielded_at_once_at_first() {
    let (tell, mut sets) = started();
    tell.send(nothing("never there")).unwrap();
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
        let (tell, mut sets) = started();
        tell.send(at(1)).unwrap();
        assert_eq!(next(&mut sets).await, Ok(1));
        tell.send(nothing("gone")).unwrap();
        let fail = async {
            sleep(wait).await;
            tell.send(None).unwrap();
        };
        let (told, ()) = tokio::join!(next(&mut sets), fail);
        assert_eq!(told, Err("watching: it fails".to_owned()));
        assert!(sets.next().await.is_none());
    }
    // Another set is yielded, and so is one that equals an earlier one.
    let (tell, mut sets) = started();
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    for told in [nothing("gone"), at(2), None] {
        tell.send(told).unwrap();
    }
    assert_eq!(next(&mut sets).await, Ok(2));
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_opened_again_waits_as_the_one_before() {
    let history = WatchHistory::new(Duration::ZERO);
    let (tell, mut sets) = started_with(&history);
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));

    // No backends at first, then a set in time or a failure in time.
    for (then, expected) in [(at(2), Ok(2)), (None, Err("watching: it fails".to_owned()))] {
        let (tell, mut sets) = started_with(&history);
        tell.send(nothing("gone")).unwrap();
        let replace = async {
            sleep(3 * GATHER).await;
            tell.send(then).unwrap();
        };
        let (told, ()) = tokio::join!(next(&mut sets), replace);
        assert_eq!(told, expected);
    }
    // After it was yielded once, it is yielded at once.
    for wait in [SETTLE, Duration::ZERO] {
        let (tell, mut sets) = started_with(&history);
        let begin = Instant::now();
        tell.send(nothing("gone")).unwrap();
        assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
        assert!((wait..wait + 2 * GATHER).contains(&begin.elapsed()));
    }
}
