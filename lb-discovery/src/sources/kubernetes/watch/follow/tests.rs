//! What is told of a view that changes its mind, in paused time.

use lb_core::Backend;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::*;

/// Comes to what it was told last; without an outcome it fails.
struct Scripted {
    told: UnboundedReceiver<Option<Outcome>>,
    now: Outcome,
}

impl View for Scripted {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let told = self.told.recv().await.flatten();
        self.now = told.ok_or_else(|| error::unavailable("watching", "it fails"))?;
        Ok(())
    }

    fn outcome(&mut self) -> Outcome {
        self.now.clone()
    }
}

fn started() -> (UnboundedSender<Option<Outcome>>, SnapshotStream) {
    started_with(&Memory::new(Duration::ZERO))
}

/// Another watch of the source whose memory this is.
fn started_with(memory: &Arc<Memory>) -> (UnboundedSender<Option<Outcome>>, SnapshotStream) {
    let (tell, told) = unbounded_channel();
    let now = Outcome::Pending;
    let view = Scripted { told, now };
    (tell, follow("watching".into(), view, memory))
}

fn at(port: u16) -> Option<Outcome> {
    let backend = Backend::new(([127, 0, 0, 1], port).into());
    Some(Outcome::Backends(Snapshot::from_backends([backend])))
}

fn nothing(reason: &str) -> Option<Outcome> {
    Some(Outcome::Nothing(reason.to_owned()))
}

/// The port of the next set, or the next error.
async fn next(sets: &mut SnapshotStream) -> Result<u16, String> {
    let item = sets.next().await.unwrap();
    let port = item.map(|set| set.iter().next().unwrap().addr.port());
    port.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_told_once_it_has_lasted() {
    let (tell, mut sets) = started();
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(nothing("gone")).unwrap();
    let begin = Instant::now();
    assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
    assert!((SETTLE..SETTLE + 2 * GATHER).contains(&begin.elapsed()));
    // The stream goes on, and neither another reason nor a set has to last.
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
async fn what_is_replaced_meanwhile_was_never_nothing() {
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
    // If it comes back as it was, nothing is told at all.
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
async fn at_first_nothing_is_told_at_once() {
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
async fn what_did_not_last_before_a_failure_is_not_told() {
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
    // Another set is told, as is what is known of an earlier one.
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
    let memory = Memory::new(Duration::ZERO);
    let (tell, mut sets) = started_with(&memory);
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));

    // Nothing at first, and a set in time; or a failure in time.
    for (then, expected) in [(at(2), Ok(2)), (None, Err("watching: it fails".to_owned()))] {
        let (tell, mut sets) = started_with(&memory);
        tell.send(nothing("gone")).unwrap();
        let replace = async {
            sleep(3 * GATHER).await;
            tell.send(then).unwrap();
        };
        let (told, ()) = tokio::join!(next(&mut sets), replace);
        assert_eq!(told, expected);
    }
    // Once it was told, it is told at once.
    for wait in [SETTLE, Duration::ZERO] {
        let (tell, mut sets) = started_with(&memory);
        let begin = Instant::now();
        tell.send(nothing("gone")).unwrap();
        assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
        assert!((wait..wait + 2 * GATHER).contains(&begin.elapsed()));
    }
}
