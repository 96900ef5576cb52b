//! What backends ask for.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_backends_ask_for_is_published_together_and_ends_with_the_check() {
    let check = Played::new("played");
    let asks = CheckReport::default()
        .weight(Some(WeightOverride::Percent(50)))
        .max_conns(Some(NonZeroU32::new(3)))
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
