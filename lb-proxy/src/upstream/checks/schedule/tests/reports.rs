//! Overrides that backends ask for.

use std::num::NonZeroU32;

use super::*;
use test_support::log::Capture;

#[tokio::test(start_paused = true)]
async fn what_backends_ask_for_is_published_together_and_ends_with_the_check() {
    let check = Played::new("played");
    let asks = CheckReport::default()
        .weight(Some(WeightOverride::Percent(50)))
        .max_conns(3)
        .admin(Some(ReportedAdmin::Drain));
    (1..=50).for_each(|port| check.play(port, Answer::Asks(asks.clone())));
    let scene = Scene::new(1..=50, |u| u.health_check(check.clone(), every(1))).await;
    let updates = *scene.upstream.membership_changes().borrow();
    sleep(Duration::from_secs(3)).await;
    let set = scene.upstream.backends();
    let is_as_asked = |backend: &Backend| {
        (backend.weight.get(), backend.max_conns, backend.admin)
            == (1, NonZeroU32::new(3), AdminState::Drain)
    };
    assert!(set.snapshot().iter().all(is_as_asked));
    assert_eq!(scene.upstream.overrides().len(), 150);
    let updates = *scene.upstream.membership_changes().borrow() - updates;
    assert!((1..=11).contains(&updates), "{updates}");

    let ready = CheckReport::default()
        .weight(Some(WeightOverride::Percent(100)))
        .admin(Some(ReportedAdmin::Ready));
    check.play(1, Answer::Asks(ready));
    sleep(Duration::from_secs(2)).await;
    let set = scene.upstream.backends();
    let first = set.snapshot().find(addr(1)).unwrap();
    // What it does not ask for stays as it was.
    assert_eq!(
        (first.admin, first.max_conns),
        (AdminState::Ready, NonZeroU32::new(3))
    );

    let (source, _) = Manual::new(snapshot(1..=50));
    let plain = Upstream::builder("scene")
        .discovery(source)
        .build()
        .unwrap();
    assert!(scene.upstream.adopt(&plain));
    sleep(Duration::from_millis(10)).await;
    assert!(scene.upstream.overrides().is_empty());
    let published = scene.upstream.backends().snapshot().clone();
    assert!(published == scene.upstream.discovered());
}

#[tokio::test(start_paused = true)]
async fn what_a_check_reported_ends_with_it_though_others_of_its_origin_run() {
    let (first, second) = (Played::new("first"), Played::new("second"));
    let plain = Played::new("plain");
    first.play(1, states_only_weight(50));
    let mut scene = Scene::new([1], |u| u.health_check(first.clone(), every(1))).await;
    after(3).await;
    assert_eq!(scene.upstream.overrides().len(), 1);
    scene.reload([1], &[&plain]);
    after(3).await;
    assert!(scene.upstream.overrides().is_empty());

    // Another one that replaced its value is no longer above it when it ends.
    scene.reload_with([1], |u| u.health_check(first.clone(), every(1)));
    after(3).await;
    second.play(1, states_only_weight(70));
    scene.reload_with([1], |u| {
        let u = u.health_check(first.clone(), every(1));
        u.health_check(second.clone(), every(1))
    });
    after(3).await;
    assert_eq!(scene.weights(), [70]);
    scene.reload_with([1], |u| u.health_check(first.clone(), every(1)));
    after(3).await;
    assert_eq!(scene.weights(), [50]);
}

#[tokio::test(start_paused = true)]
async fn an_equal_answer_applies_again_to_a_backend_that_left_and_returned() {
    let check = Played::new("agent");
    check.play(1, states_only_weight(50));
    let scene = Scene::new([1, 2], |u| u.health_check(check.clone(), every(1))).await;
    after(3).await;
    assert_eq!(scene.weights(), [50]);
    // No task runs between.
    scene.upstream.apply(snapshot([2]));
    scene.upstream.apply(snapshot([1, 2]));
    assert!(scene.weights().is_empty());
    after(3).await;
    assert_eq!(scene.weights(), [50]);
}

/// How many of `lines` have all `parts`.
fn count(lines: &[String], parts: &[&str]) -> usize {
    let has_all = |line: &&String| parts.iter().all(|part| line.contains(part));
    lines.iter().filter(has_all).count()
}

#[tokio::test(start_paused = true)]
async fn what_backends_ask_for_and_silence_are_logged() {
    let log = Capture::install();
    let check = Played::new("agent");
    let admin = |admin| Answer::Asks(CheckReport::default().admin(Some(admin)));
    check.play(1, admin(ReportedAdmin::Drain));
    check.play(2, Answer::SaysNothing);
    check.play(3, Answer::SaysNothing);
    let scene = Scene::new(1..=3, |u| u.health_check(check.clone(), every(1))).await;
    after(5).await;
    let lines = log.take();
    let drained = [
        "INFO",
        "Override set",
        "127.0.0.1:1",
        "health check",
        "agent",
        "drain",
    ];
    assert_eq!(count(&lines, &drained), 1, "{lines:?}");
    // Of all backends of the check, once a minute.
    let silence = ["WARN", "Probe without a result", "no agent"];
    assert_eq!(count(&lines, &silence), 1, "{lines:?}");
    check.play(1, admin(ReportedAdmin::Ready));
    check.play(2, states_only_weight(50));
    after(5).await;
    let lines = log.take();
    assert_eq!(
        count(&lines, &["INFO", "Override cleared", "127.0.0.1:1"]),
        1,
        "{lines:?}"
    );
    let useless = [
        "WARN",
        "Override without effect",
        "127.0.0.1:2",
        "weight 50%",
        "weight=1",
    ];
    assert_eq!(count(&lines, &useless), 1, "{lines:?}");
    after(60).await;
    assert_eq!(count(&log.take(), &silence), 1);
    drop(scene);
}
