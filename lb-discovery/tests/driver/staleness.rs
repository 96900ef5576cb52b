//! The life of a stale set.

use std::sync::Arc;
use std::time::Duration;

use lb_discovery::{Driver, DriverConfig, Static};
use tokio::time::{Instant, sleep};

use crate::{now, secs};
use test_support::discovery::{RunningDriver, Script, Watch, ports, set};

#[tokio::test(start_paused = true)]
async fn a_stale_set_is_dropped_after_max_stale() {
    let failing = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1])), (secs(20), set(&[1, 2]))]),
        Watch::Fail,
    ]);
    let fixed = Arc::new(Static::new(set(&[7])));
    let config = DriverConfig::new().max_stale(Some(secs(15)));
    let mut run = RunningDriver::start(vec![failing, fixed], config);
    assert_eq!(ports(&run.next().await), [1, 7]);
    assert_eq!(ports(&run.next().await), [1, 2, 7]);
    let full = Instant::now();
    let before = run.handle.status().sources[0].clone();
    assert!(!before.expired);
    // Other sources keep their sets. A source without changes is not stale.
    assert_eq!(ports(&run.next().await), [7]);
    assert!((secs(15)..secs(16)).contains(&full.elapsed()));
    let status = run.handle.status();
    let (failing, fixed) = (&status.sources[0], &status.sources[1]);
    assert_eq!((failing.backends, failing.expired), (0, true));
    assert!(failing.is_stale() && failing.last_error.is_some());
    assert_eq!((fixed.backends, fixed.expired), (1, false));
    assert!(!fixed.is_stale());
    assert!(run.quiet_for(secs(600)).await);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_recovers_has_backends_again() {
    let mut watches = vec![Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))])];
    watches.extend(vec![Watch::Fail; 10]);
    watches.push(now(set(&[1])));
    let source = Script::new(watches);
    let config = DriverConfig::new()
        .backoff_max(secs(5))
        .max_stale(Some(secs(10)));
    let mut run = RunningDriver::start(vec![source], config);
    for expected in [&[1][..], &[], &[1]] {
        assert_eq!(ports(&run.next().await), expected);
    }
    let status = &run.handle.status().sources[0];
    assert_eq!((status.backends, status.expired), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_in_time_drops_nothing() {
    // Every outage ends within eight seconds, but all of them last for minutes.
    let mut watches = Vec::new();
    for _ in 0..40 {
        let sets = vec![(Duration::ZERO, set(&[1])), (secs(9), set(&[1]))];
        watches.push(Watch::SetsThenEnd(sets));
        watches.extend(vec![Watch::Fail; 3]);
    }
    let source = Script::new(watches);
    let config = DriverConfig::new().max_stale(Some(secs(8)));
    let mut run = RunningDriver::start(vec![source], config);
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.quiet_for(secs(300)).await);
    assert!(run.handle.status().sources[0].failures > 30);
}

#[tokio::test(start_paused = true)]
async fn a_negative_answer_makes_a_set_stale_like_a_failure() {
    let absent = Watch::Absent(Some(secs(5)));
    let first = Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]);
    let source = Script::new([first, absent]);
    let config = DriverConfig::new().max_stale(Some(Duration::ZERO));
    let mut run = RunningDriver::start(vec![source], config);
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.next().await.is_empty());
    assert!(run.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn by_default_a_stale_set_is_kept() {
    let first = Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]);
    let source = Script::new([first, Watch::Fail]);
    let mut run = RunningDriver::start(vec![source], DriverConfig::new());
    run.next().await;
    assert!(run.quiet_for(secs(86_400)).await);
    assert_eq!(run.handle.status().sources[0].backends, 1);
}

#[tokio::test(start_paused = true)]
async fn taking_a_set_over_does_not_reset_its_staleness() {
    let first = Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]);
    let source = Script::new([first, Watch::Fail]);
    let config = || DriverConfig::new().max_stale(Some(secs(15)));
    let mut run = RunningDriver::start(vec![source.clone()], config());
    assert_eq!(ports(&run.next().await), [1]);
    let failing_since = Instant::now();
    for _ in 0..2 {
        sleep(secs(6)).await;
        let stale_for = run.handle.status().sources[0].stale_for;
        let (mut driver, handle) = Driver::new(vec![source.clone()], config());
        driver.resume(&run.stop().await);
        let taken_over = handle.status().sources[0].clone();
        assert_eq!((taken_over.backends, taken_over.stale_for), (1, stale_for));
        let error = taken_over.last_error.unwrap();
        assert!(error.starts_with("asking the script: "), "{error}");
        run = RunningDriver::resume(driver, handle);
        assert_eq!(ports(&run.next().await), [1]);
    }
    assert!(run.next().await.is_empty());
    assert!((secs(15)..secs(16)).contains(&failing_since.elapsed()));
    // The dropped state is taken over as well.
    let (mut driver, handle) = Driver::new(vec![source], config());
    driver.resume(&run.stop().await);
    let status = &handle.status().sources[0];
    assert_eq!((status.backends, status.expired), (0, true));
}
