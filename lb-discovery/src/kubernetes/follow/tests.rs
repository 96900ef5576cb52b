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
        self.now = told.ok_or_else(|| failure::unavailable("watching", "it fails"))?;
        Ok(())
    }

    fn outcome(&mut self) -> Outcome {
        self.now.clone()
    }
}

fn started() -> (UnboundedSender<Option<Outcome>>, SnapshotStream) {
    let (tell, told) = unbounded_channel();
    let now = Outcome::Pending;
    (tell, follow("watching".into(), Scripted { told, now }))
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
async fn at_first_and_before_a_failure_nothing_is_told_at_once() {
    let (tell, mut sets) = started();
    tell.send(nothing("never there")).unwrap();
    let begin = Instant::now();
    assert_eq!(
        next(&mut sets).await,
        Err("watching: never there".to_owned())
    );
    assert!(begin.elapsed() < GATHER);
    tell.send(at(1)).unwrap();
    assert_eq!(next(&mut sets).await, Ok(1));
    tell.send(nothing("gone")).unwrap();
    tell.send(None).unwrap();
    assert_eq!(next(&mut sets).await, Err("watching: gone".to_owned()));
    assert_eq!(next(&mut sets).await, Err("watching: it fails".to_owned()));
}
