//! The driver, in paused time.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

#[path = "support/run.rs"]
mod run;
#[path = "support/script.rs"]
mod script;

use std::sync::Arc;
use std::time::Duration;

use lb_core::Snapshot;
use lb_discovery::{Discovery, Driver, DriverConfig, OnEmpty, Static, channel};
use run::{Running, backend, eventually, ports, set};
use script::{Script, Watch};
use tokio::time::{Instant, sleep};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn now(set: Snapshot) -> Watch {
    Watch::Sets(vec![(Duration::ZERO, set)])
}

// === what is published ===

#[tokio::test(start_paused = true)]
async fn publishes_the_union_in_the_order_of_the_sources() {
    let named = backend(2).with_source("elsewhere");
    let first = Static::new([backend(3), named].into_iter().collect()).with_source("first");
    let second = Static::new(set(&[1, 3])).with_source("second");
    let mut run = Running::start(vec![Arc::new(first), Arc::new(second)], DriverConfig::new());
    let union = run.next().await;
    let seen: Vec<_> = union
        .iter()
        .map(|b| (b.addr.port(), b.source.as_deref().unwrap()))
        .collect();
    assert_eq!(seen, [(3, "first"), (2, "elsewhere"), (1, "second")]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_runs_again_goes_on_with_what_it_knew() {
    let source = Script::new([now(set(&[1])), Watch::Fail]);
    let mut run = Running::start(vec![source], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    let handle = run.handle.clone();
    let mut run = Running::resume(run.stop().await, handle);
    assert_eq!(ports(&run.next().await), [1]);
    eventually(|| run.handle.status().sources[0].last_error.is_some()).await;
    assert!(run.quiet_for(secs(60)).await);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_takes_over_keeps_the_sets_of_sources_that_stay() {
    let silent = || Script::new([Watch::Hang]);
    let named = |name: &str, ports: &[u16]| Static::new(set(ports)).with_source(name);
    let old: Vec<Arc<dyn Discovery>> = vec![
        Arc::new(named("gone", &[1])),
        Arc::new(named("answers", &[2])),
        Script::new([now(set(&[3]))]),
    ];
    let mut run = Running::start(old, DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2, 3]);
    let old = run.stop().await;
    // The silent ones have the label of the script: the first gets its set, for the second there is none left.
    let new: Vec<Arc<dyn Discovery>> =
        vec![silent(), silent(), Arc::new(named("answers", &[4, 5]))];
    let (mut driver, handle) = Driver::new(new, DriverConfig::new().initial_wait(secs(2)));
    driver.resume(&old);
    let status = handle.status().sources;
    let backends: Vec<_> = status.iter().map(|source| source.backends).collect();
    assert_eq!(backends, [1, 0, 1]);
    assert!(status[0].last_success.is_some() && status[1].last_success.is_none());
    let mut run = Running::resume(driver, handle);
    // What is taken over is no answer: the others are waited for, and what answers counts.
    assert_eq!(ports(&run.next().await), [3, 4, 5]);
    assert_eq!(run.elapsed().as_secs(), 2);
    let driver = run.stop().await;
    // A source that has given a set itself keeps that.
    let (mut again, handle) =
        Driver::new(vec![Arc::new(named("answers", &[6]))], DriverConfig::new());
    again.resume(&driver);
    let backends = || handle.status().sources[0].backends;
    assert_eq!(backends(), 2);
    let mut run = Running::resume(again, handle.clone());
    assert_eq!(ports(&run.next().await), [6]);
    run.stop().await.resume(&driver);
    assert_eq!(backends(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_equal_set_is_not_published_again() {
    let sets = [&[1, 2], &[1, 2], &[2, 1]];
    let source = Script::new([Watch::Sets(
        sets.map(|ports| (secs(1), set(ports))).to_vec(),
    )]);
    let mut run = Running::start(vec![source], DriverConfig::new().initial_wait(secs(5)));
    assert_eq!(ports(&run.next().await), [1, 2]);
    assert_eq!(ports(&run.next().await), [2, 1]);
    assert_eq!(run.elapsed().as_millis() / 100, 30);
    assert_eq!(run.handle.status().sources[0].updates, 3);
}

#[tokio::test(start_paused = true)]
async fn a_burst_becomes_one_publication() {
    let (handle, source) = channel(set(&[1]));
    let mut run = Running::start(vec![Arc::new(source)], DriverConfig::new());
    run.next().await;
    let changed = Instant::now();
    for port in 2..=10 {
        handle.add(backend(port));
        sleep(ms(4)).await;
    }
    assert_eq!(run.next().await.len(), 10);
    assert!((ms(50)..ms(60)).contains(&changed.elapsed()));
    assert!(run.quiet_for(secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_do_not_put_the_publication_off() {
    let (handle, source) = channel(set(&[1]));
    let mut run = Running::start(vec![Arc::new(source)], DriverConfig::new());
    run.next().await;
    let changes = tokio::spawn(async move {
        for port in 2..=101 {
            handle.add(backend(port));
            sleep(ms(10)).await;
        }
    });
    let all: Vec<u16> = (1..=101).collect();
    let publications = run.until_ports(&all).await;
    assert!((15..=21).contains(&publications), "{publications}");
    changes.await.unwrap();
}

// === the first publication ===

#[tokio::test(start_paused = true)]
async fn the_first_publication_waits_for_every_source() {
    let slow = Script::new([Watch::Sets(vec![(ms(300), set(&[2]))])]);
    let fast = Static::new(set(&[1]));
    let mut run = Running::start(vec![Arc::new(fast), slow], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    assert_eq!(run.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn the_first_publication_waits_only_so_long() {
    for hung in [Watch::Hang, Watch::Sets(vec![])] {
        let hung = Script::new([hung]);
        let fast = Static::new(set(&[1]));
        let mut run = Running::start(vec![hung, Arc::new(fast)], DriverConfig::new());
        assert_eq!(ports(&run.next().await), [1]);
        assert_eq!(run.elapsed(), secs(1));
        let status = run.handle.status();
        assert_eq!(status.sources[0].last_success, None);
        assert_eq!(status.sources[0].stale_for, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_does_not_hold_up_the_others() {
    let failing = Script::new([Watch::Fail]);
    let fine = Static::new(set(&[1]));
    let mut run = Running::start(vec![failing, Arc::new(fine)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert_eq!(run.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn that_nothing_is_known_is_published_after_the_wait() {
    let failing = Script::new([Watch::Fail, Watch::Fail, Watch::Fail, now(set(&[1]))]);
    let mut run = Running::start(vec![failing], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), secs(1));
    assert_eq!(ports(&run.next().await), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_within_the_wait_is_published_first() {
    let source = Script::new([Watch::Fail, now(set(&[1]))]);
    let mut run = Running::start(vec![source], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert!((ms(250)..=ms(501)).contains(&run.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_published_at_once() {
    let absent = Script::new([Watch::Absent(None)]);
    let empty = Static::new(Snapshot::default());
    let mut run = Running::start(vec![absent, Arc::new(empty)], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), Duration::ZERO);
    let mut run = Running::start(vec![], DriverConfig::new());
    assert!(run.next().await.is_empty());
    assert_eq!(run.elapsed(), Duration::ZERO);
}

// === failures ===

#[tokio::test(start_paused = true)]
async fn delays_grow_to_the_maximum() {
    let source = Script::new([Watch::Fail]);
    let run = Running::start(vec![source.clone()], DriverConfig::new());
    sleep(secs(300)).await;
    run.stop().await;
    let gaps = source.gaps();
    assert!((10..=25).contains(&gaps.len()), "{}", gaps.len());
    for (n, gap) in gaps.iter().enumerate() {
        let ceiling = ms(500 << n.min(10)).min(secs(30));
        // Timers fire up to a millisecond late.
        assert!(
            *gap >= ceiling / 2 && *gap <= ceiling + ms(2),
            "{n}: {gap:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_resets_the_delays() {
    let mut watches = vec![Watch::Fail; 8];
    watches.push(Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]));
    watches.push(Watch::Fail);
    let source = Script::new(watches);
    let run = Running::start(vec![source.clone()], DriverConfig::new());
    eventually(|| source.opens() == 11).await;
    run.stop().await;
    let gaps = source.gaps();
    assert!(gaps[7] >= secs(15), "{gaps:?}");
    assert!(gaps[8] <= ms(510), "{gaps:?}");
    assert!((ms(500)..=ms(1010)).contains(&gaps[9]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_replays_the_jitter() {
    let gaps = async |seed| {
        let source = Script::new([Watch::Fail]);
        let run = Running::start(vec![source.clone()], DriverConfig::new().seed(seed));
        eventually(|| source.opens() == 8).await;
        run.stop().await;
        source.gaps()
    };
    assert_eq!(gaps(1).await, gaps(1).await);
    assert_ne!(gaps(1).await, gaps(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_at_once_does_not_spin() {
    let ends = Script::new([Watch::SetsThenEnd(vec![])]);
    let gives = Script::new([Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))])]);
    let config = DriverConfig::new()
        .backoff_base(Duration::ZERO)
        .backoff_max(Duration::ZERO);
    let run = Running::start(vec![ends.clone(), gives.clone()], config);
    sleep(secs(1)).await;
    run.stop().await;
    for source in [ends, gives] {
        assert!((90..=201).contains(&source.opens()), "{}", source.opens());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flooding_source_does_not_starve_the_others() {
    let flood = Script::new([Watch::Flood(set(&[1]))]);
    let (handle, source) = channel(set(&[2]));
    let mut run = Running::start(vec![flood, Arc::new(source)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2]);
    handle.add(backend(3));
    assert_eq!(ports(&run.next().await), [1, 2, 3]);
    assert!(run.handle.status().sources[0].updates <= run.elapsed().as_millis() as u64 + 2);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_set_and_the_other_sources() {
    let source = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1, 2])), (secs(1), set(&[1]))]),
        Watch::Fail,
        Watch::Fail,
        now(set(&[3])),
    ]);
    let (handle, other) = channel(set(&[9]));
    let mut run = Running::start(vec![source.clone(), Arc::new(other)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2, 9]);
    assert_eq!(ports(&run.next().await), [1, 9]);
    eventually(|| source.opens() == 3).await;
    handle.add(backend(8));
    assert_eq!(ports(&run.next().await), [1, 9, 8]);
    assert_eq!(ports(&run.next().await), [3, 9, 8]);
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_empty_answer_can_be_kept_out_or_applied() {
    let script = || {
        Script::new([
            Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]),
            Watch::Absent(Some(secs(5))),
        ])
    };
    let config = DriverConfig::new().on_empty(OnEmpty::Apply);
    let mut run = Running::start(vec![script()], config);
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.next().await.is_empty());
    let status = &run.handle.status().sources[0];
    assert_eq!((status.backends, status.stale_for), (0, None));
    assert!(
        status
            .last_error
            .as_deref()
            .unwrap()
            .contains("no such thing")
    );

    let mut run = Running::start(vec![script()], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.quiet_for(secs(60)).await);
    let status = &run.handle.status().sources[0];
    assert_eq!(status.backends, 1);
    assert!(status.stale_for > Some(secs(55)));
    assert!(status.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_negative_answer_is_believed_for_its_time_within_bounds() {
    for (valid_for, expected) in [
        (secs(5), secs(5)),
        (Duration::ZERO, secs(1)),
        (secs(86_400), secs(30)),
    ] {
        let source = Script::new([Watch::Absent(Some(valid_for))]);
        let run = Running::start(vec![source.clone()], DriverConfig::new());
        eventually(|| source.opens() == 4).await;
        run.stop().await;
        for gap in source.gaps() {
            assert!((expected..=expected + ms(2)).contains(&gap), "{gap:?}");
        }
    }
    let source = Script::new([Watch::Absent(None)]);
    let run = Running::start(vec![source.clone()], DriverConfig::new());
    eventually(|| source.opens() == 8).await;
    run.stop().await;
    assert!(source.gaps()[6] >= secs(15), "unknown times back off");
}

// === staleness ===

#[tokio::test(start_paused = true)]
async fn a_set_is_trusted_only_so_long() {
    let failing = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1])), (secs(20), set(&[1, 2]))]),
        Watch::Fail,
    ]);
    let fixed = Arc::new(Static::new(set(&[7])));
    let config = DriverConfig::new().max_stale(Some(secs(15)));
    let mut run = Running::start(vec![failing, fixed], config);
    assert_eq!(ports(&run.next().await), [1, 7]);
    assert_eq!(ports(&run.next().await), [1, 2, 7]);
    let full = Instant::now();
    let before = run.handle.status().sources[0].clone();
    assert!(!before.expired);
    // Other sources keep theirs. A quiet source is not a failing one.
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
async fn a_source_that_recovers_is_trusted_again() {
    let mut watches = vec![Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))])];
    watches.extend(vec![Watch::Fail; 10]);
    watches.push(now(set(&[1])));
    let source = Script::new(watches);
    let config = DriverConfig::new()
        .backoff_max(secs(5))
        .max_stale(Some(secs(10)));
    let mut run = Running::start(vec![source], config);
    for expected in [&[1][..], &[], &[1]] {
        assert_eq!(ports(&run.next().await), expected);
    }
    let status = &run.handle.status().sources[0];
    assert_eq!((status.backends, status.expired), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_in_time_drops_nothing() {
    // Every failure is over within eight seconds, but they are minutes together.
    let mut watches = Vec::new();
    for _ in 0..40 {
        watches.push(Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]));
        watches.extend(vec![Watch::Fail; 3]);
    }
    let source = Script::new(watches);
    let config = DriverConfig::new().max_stale(Some(secs(8)));
    let mut run = Running::start(vec![source], config);
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.quiet_for(secs(100)).await);
    assert!(run.handle.status().sources[0].failures > 30);
}

#[tokio::test(start_paused = true)]
async fn a_denied_name_is_no_more_trusted_than_a_failure() {
    let absent = Watch::Absent(Some(secs(5)));
    let first = Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]);
    let source = Script::new([first, absent]);
    let config = DriverConfig::new().max_stale(Some(Duration::ZERO));
    let mut run = Running::start(vec![source], config);
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.next().await.is_empty());
    assert!(run.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn by_default_a_set_is_trusted_for_ever() {
    let first = Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]);
    let source = Script::new([first, Watch::Fail]);
    let mut run = Running::start(vec![source], DriverConfig::new());
    run.next().await;
    assert!(run.quiet_for(secs(86_400)).await);
    assert_eq!(run.handle.status().sources[0].backends, 1);
}

// === control ===

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_driver_at_once() {
    let sources: Vec<Arc<dyn Discovery>> = vec![
        Script::new([Watch::Hang]),
        Script::new([Watch::Fail]),
        Script::new([Watch::Flood(set(&[1]))]),
        Arc::new(Static::new(set(&[2]))),
    ];
    for wait in [Duration::ZERO, ms(500), secs(100)] {
        let run = Running::start(sources.clone(), DriverConfig::new());
        sleep(wait).await;
        let cancelled = Instant::now();
        run.stop().await;
        assert_eq!(cancelled.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_ends_the_wait_after_a_failure() {
    let source = Script::new([Watch::Absent(Some(secs(30)))]);
    let run = Running::start(vec![source.clone()], DriverConfig::new());
    eventually(|| source.opens() == 1).await;
    sleep(secs(10)).await;
    let hinted = Instant::now();
    run.handle.refresh();
    eventually(|| source.opens() == 2).await;
    assert!(hinted.elapsed() <= ms(10));
}

#[tokio::test(start_paused = true)]
async fn hints_are_limited_in_rate() {
    let failing = Script::new([Watch::Fail]);
    let quiet = Script::new([now(set(&[1]))]);
    let config = DriverConfig::new().backoff_base(secs(30));
    let run = Running::start(vec![failing.clone(), quiet.clone()], config);
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
    let run = Running::start(vec![source.clone()], config);
    eventually(|| source.opens() == 1).await;
    run.handle.refresh();
    eventually(|| source.opens() == 2).await;
    assert!((secs(1)..=ms(1002)).contains(&source.gaps()[0]));
}

#[tokio::test(start_paused = true)]
async fn without_hints_nothing_is_refreshed() {
    let quiet = Script::new([now(set(&[1]))]);
    let run = Running::start(vec![quiet.clone()], DriverConfig::new());
    sleep(secs(3600)).await;
    run.stop().await;
    assert_eq!((quiet.opens(), quiet.refreshes()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_how_each_source_fares() {
    let source = Script::new([
        Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1, 2])), (secs(10), set(&[1]))]),
        Watch::Fail,
    ]);
    let fixed = Arc::new(Static::new(set(&[7])));
    let mut run = Running::start(vec![source.clone(), fixed], DriverConfig::new());
    run.next().await;
    sleep(secs(4)).await;
    let status = run.handle.status();
    let labels: Vec<_> = status.sources.iter().map(|s| &*s.source).collect();
    assert_eq!(labels, ["script", "static"]);
    let scripted = &status.sources[0];
    assert_eq!(
        (scripted.backends, scripted.updates, scripted.failures),
        (2, 1, 0)
    );
    assert_eq!(scripted.last_success, Some(secs(4)));
    assert_eq!((scripted.stale_for, &scripted.last_error), (None, &None));

    eventually(|| source.opens() >= 2).await;
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
