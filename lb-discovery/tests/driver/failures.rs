//! Sources that fail.

use std::sync::Arc;
use std::time::Duration;

use lb_discovery::{DriverConfig, Manual, OnEmpty};
use tokio::time::sleep;

use crate::{ms, now, secs};
use test_support::deadline::eventually;
use test_support::discovery::{RunningDriver, Script, Watch, backend, ports, set};

#[tokio::test(start_paused = true)]
async fn a_success_resets_the_delays() {
    let mut watches = vec![Watch::Fail; 8];
    let lasts = vec![(Duration::ZERO, set(&[1])), (secs(6), set(&[2]))];
    watches.push(Watch::SetsThenEnd(lasts));
    watches.push(Watch::Fail);
    let source = Script::new(watches);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    eventually("the opening of the watch", || source.opens() == 11).await;
    run.stop().await;
    let gaps = source.gaps();
    assert!(gaps[7] >= secs(15), "{gaps:?}");
    assert!((secs(6)..=ms(6_510)).contains(&gaps[8]), "{gaps:?}");
    assert!((ms(500)..=ms(1010)).contains(&gaps[9]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn delays_grow_to_the_maximum() {
    let one = vec![(Duration::ZERO, set(&[1]))];
    // One set at each watch, or one withdrawal, is no recovery.
    let watches = [
        Watch::Fail,
        Watch::SetsThenEnd(one.clone()),
        Watch::SetsThenFail(vec![], true),
        Watch::SetsThenFail(one, false),
    ];
    for watch in watches {
        let source = Script::new([watch]);
        let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
        sleep(secs(300)).await;
        run.stop().await;
        let gaps = source.gaps();
        assert!((10..=25).contains(&gaps.len()), "{}", gaps.len());
        for (n, gap) in gaps.iter().enumerate() {
            let ceiling = ms(500 << n.min(10)).min(secs(30));
            // Timers fire up to a millisecond late, and items have a gap of one.
            assert!(
                *gap >= ceiling / 2 && *gap <= ceiling + ms(4),
                "{n}: {gap:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_with_occasional_failures_is_retried_soon() {
    let some_time = vec![(Duration::ZERO, set(&[1])), (secs(2), set(&[2]))];
    let source = Script::new([Watch::SetsThenFail(some_time, false)]);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    eventually("the opening of the watch", || source.opens() == 20).await;
    run.stop().await;
    let gaps = source.gaps();
    assert!(gaps.iter().all(|gap| *gap <= ms(2_510)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_replays_the_jitter() {
    let gaps = async |seed| {
        let source = Script::new([Watch::Fail]);
        let run = RunningDriver::start(vec![source.clone()], DriverConfig::new().seed(seed));
        eventually("the opening of the watch", || source.opens() == 8).await;
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
    let run = RunningDriver::start(vec![ends.clone(), gives.clone()], config);
    sleep(secs(1)).await;
    run.stop().await;
    for source in [ends, gives] {
        assert!((90..=201).contains(&source.opens()), "{}", source.opens());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flooding_source_does_not_starve_another_source() {
    let flood = Script::new([Watch::Flood(set(&[1]))]);
    let (source, handle) = Manual::new(set(&[2]));
    let mut run = RunningDriver::start(vec![flood, Arc::new(source)], DriverConfig::new());
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
    let (other, handle) = Manual::new(set(&[9]));
    let mut run = RunningDriver::start(vec![source.clone(), Arc::new(other)], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1, 2, 9]);
    assert_eq!(ports(&run.next().await), [1, 9]);
    eventually("the opening of the watch", || source.opens() == 3).await;
    handle.add(backend(8));
    assert_eq!(ports(&run.next().await), [1, 9, 8]);
    assert_eq!(ports(&run.next().await), [3, 9, 8]);
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_empty_answer_is_applied_or_ignored() {
    let script = || {
        Script::new([
            Watch::SetsThenEnd(vec![(Duration::ZERO, set(&[1]))]),
            Watch::Absent(Some(secs(5))),
        ])
    };
    let config = DriverConfig::new().on_empty(OnEmpty::Apply);
    let mut run = RunningDriver::start(vec![script()], config);
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

    let mut run = RunningDriver::start(vec![script()], DriverConfig::new());
    assert_eq!(ports(&run.next().await), [1]);
    assert!(run.quiet_for(secs(60)).await);
    let status = &run.handle.status().sources[0];
    assert_eq!(status.backends, 1);
    assert!(status.stale_for > Some(secs(55)));
    assert!(status.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_empties_the_set_and_the_watch_continues() {
    for on_empty in [OnEmpty::Apply, OnEmpty::KeepLast] {
        let before = vec![(Duration::ZERO, set(&[1]))];
        let after = vec![(secs(1), set(&[2]))];
        let source = Script::new([Watch::Withdrawn(before, after)]);
        let config = DriverConfig::new().on_empty(on_empty);
        let mut run = RunningDriver::start(vec![source.clone()], config);
        assert_eq!(ports(&run.next().await), [1]);
        assert!(run.next().await.is_empty());
        let status = &run.handle.status().sources[0];
        assert_eq!((status.backends, status.stale_for), (0, None));
        let error = "asking the script: they are withdrawn";
        assert_eq!(status.last_error.as_deref(), Some(error));
        assert_eq!(ports(&run.next().await), [2]);
        assert!(run.handle.status().sources[0].last_error.is_none());
        assert!(run.elapsed() < secs(2), "published without a delay");
        assert_eq!(source.opens(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_negative_answer_holds_for_its_validity_within_bounds() {
    for (valid_for, expected) in [
        (secs(5), secs(5)),
        (Duration::ZERO, secs(1)),
        (secs(86_400), secs(30)),
    ] {
        let source = Script::new([Watch::Absent(Some(valid_for))]);
        let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
        eventually("the opening of the watch", || source.opens() == 4).await;
        run.stop().await;
        for gap in source.gaps() {
            assert!((expected..=expected + ms(2)).contains(&gap), "{gap:?}");
        }
    }
    let source = Script::new([Watch::Absent(None)]);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    eventually("the opening of the watch", || source.opens() == 8).await;
    run.stop().await;
    assert!(source.gaps()[6] >= secs(15), "unknown times back off");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_source_is_not_retried_before_the_delay_that_it_asks_for() {
    for (asked, expected) in [(secs(7), secs(7)), (secs(86_400), secs(30))] {
        let source = Script::new([Watch::Throttled(asked)]);
        let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
        eventually("the opening of the watch", || source.opens() == 2).await;
        // A refresh hint does not shorten the delay.
        run.handle.refresh();
        eventually("the opening of the watch", || source.opens() == 4).await;
        run.stop().await;
        for gap in source.gaps() {
            assert!((expected..=expected + ms(2)).contains(&gap), "{gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_does_not_shorten_the_delays() {
    let source = Script::new([Watch::Throttled(secs(1))]);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    eventually("the opening of the watch", || source.opens() == 8).await;
    run.stop().await;
    let gaps = source.gaps();
    assert!(gaps[0] >= secs(1) && gaps[6] >= secs(15), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_status_says_when_a_source_without_a_watch_is_asked_again() {
    let sets = Watch::SetsThenFail(vec![(secs(1), set(&[1]))], false);
    let source = Script::new([sets.clone(), Watch::Throttled(secs(20)), sets]);
    let run = RunningDriver::start(vec![source.clone()], DriverConfig::new());
    let next = || run.handle.status().sources[0].next_attempt;
    eventually("the first watch", || source.opens() == 1).await;
    assert_eq!(next(), None);
    sleep(secs(1) + ms(5)).await;
    let left = next().expect("the watch has ended");
    assert!((ms(100)..=secs(1)).contains(&left), "{left:?}");
    sleep(left + ms(5)).await;
    assert_eq!(source.opens(), 2);
    let left = next().expect("the source is busy");
    assert!((secs(19)..=secs(20)).contains(&left), "{left:?}");
    sleep(left + ms(5)).await;
    assert_eq!((source.opens(), next()), (3, None));
    run.stop().await;
}
