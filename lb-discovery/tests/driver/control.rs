//! Cancelling, hints and the status.

use std::sync::Arc;
use std::time::Duration;

use lb_discovery::{DriverConfig, Static};
use tokio::time::{Instant, sleep};

use crate::{ms, now, secs};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, Script, Watch, set};

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_driver_at_once() {
    let sources: Vec<Arc<dyn lb_discovery::Source>> = vec![
        Script::new([Watch::Hang]),
        Script::new([Watch::Fail]),
        Script::new([Watch::Flood(set(&[1]))]),
        Arc::new(Static::new(set(&[2]))),
    ];
    for wait in [Duration::ZERO, ms(500), secs(100)] {
        let run = RunningDriver::start(sources.clone(), DriverConfig::new());
        sleep(wait).await;
        let cancelled = Instant::now();
        run.stop().await;
        assert_eq!(cancelled.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_ends_the_wait_after_a_failure() {
    let source = Script::new([Watch::Absent(Some(secs(30)))]);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    eventually("the opening of the watch", || source.opens() == 1).await;
    sleep(secs(10)).await;
    let hinted = Instant::now();
    run.handle.refresh();
    eventually("the opening of the watch", || source.opens() == 2).await;
    assert!(hinted.elapsed() <= ms(10));
}

#[tokio::test(start_paused = true)]
async fn hints_are_limited_in_rate() {
    let failing = Script::new([Watch::Fail]);
    let quiet = Script::new([now(set(&[1]))]);
    let config = DriverConfig::new().backoff_base(secs(30));
    let run = RunningDriver::start(vec![failing.clone(), quiet.clone()], config);
    for _ in 0..1000 {
        run.handle.refresh();
        sleep(ms(10)).await;
    }
    assert!((9..=11).contains(&failing.opens()), "{}", failing.opens());
    assert!(
        (9..=11).contains(&quiet.refreshes()),
        "{}",
        quiet.refreshes()
    );
    assert_eq!(quiet.opens(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hint_just_after_a_failure_waits() {
    let source = Script::new([Watch::Fail]);
    let config = DriverConfig::new().backoff_base(secs(30));
    let run = RunningDriver::start(vec![source.clone()], config);
    eventually("the opening of the watch", || source.opens() == 1).await;
    run.handle.refresh();
    eventually("the opening of the watch", || source.opens() == 2).await;
    assert!((secs(1)..=ms(1002)).contains(&source.gaps()[0]));
}

#[tokio::test(start_paused = true)]
async fn without_hints_nothing_is_refreshed() {
    let quiet = Script::new([now(set(&[1]))]);
    let run = RunningDriver::start(vec![quiet.clone()], DriverConfig::new());
    sleep(secs(3600)).await;
    run.stop().await;
    assert_eq!((quiet.opens(), quiet.refreshes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_status_reports_each_source() {
    let source = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1, 2])), (secs(10), set(&[1]))]),
        Watch::Fail,
    ]);
    let fixed = Arc::new(Static::new(set(&[7])));
    let mut run = RunningDriver::start(vec![source.clone(), fixed], DriverConfig::new());
    run.next().await;
    sleep(secs(4)).await;
    let status = run.handle.status();
    let labels: Vec<_> = status.sources.iter().map(|s| &*s.label).collect();
    assert_eq!(labels, ["script", "static"]);
    let scripted = &status.sources[0];
    assert_eq!(
        (scripted.backends, scripted.updates, scripted.failures),
        (2, 1, 0)
    );
    assert_eq!(scripted.last_success, Some(secs(4)));
    assert_eq!((scripted.stale_for, &scripted.last_error), (None, &None));

    eventually("the opening of the watch", || source.opens() >= 2).await;
    sleep(secs(100)).await;
    let status = run.handle.status();
    let scripted = &status.sources[0];
    assert_eq!((scripted.backends, scripted.updates), (1, 2));
    assert!(scripted.failures >= 5, "{scripted:?}");
    assert!(scripted.last_success > Some(secs(100)));
    assert!(scripted.stale_for > Some(secs(100)) && scripted.stale_for <= scripted.last_success);
    assert_eq!(
        scripted.last_error.as_deref(),
        Some("asking the script: it says no: as written")
    );
    assert_eq!(status.sources[1].stale_for, None);
}
