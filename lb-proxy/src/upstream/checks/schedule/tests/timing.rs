//! The times of probes, and the number at once.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_backend_is_probed_faster_in_doubt_and_slower_when_down() {
    let check = Played::new("played");
    let settings = every(10)
        .interval_in_doubt(Some(Duration::from_secs(1)))
        .interval_down(Some(Duration::from_secs(100)))
        .initial(InitialState::FullyUp)
        .fall(3)
        .rise(2);
    let scene = Scene::new([1], |u| u.health_check(check.clone(), settings)).await;
    sleep(Duration::from_secs(15)).await;
    check.play(1, Answer::Fails);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(check.times(1), [0, 10_000, 20_000, 21_000, 22_000]);
    assert_eq!(scene.health(1), Health::Unhealthy);
    let status = scene.status(1);
    assert_eq!((status.state, status.consecutive), (CheckState::Down, 3));
    assert_eq!(
        (status.probes, status.failures, status.transitions),
        (5, 3, 1)
    );
    let last = status.last.unwrap();
    assert_eq!(&*last.text, r#"unexpected answer: "nonsense\n""#);
    check.play(1, Answer::Passes);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(check.times(1)[5..], [122_000, 123_000]);
    assert_eq!(scene.health(1), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn probes_are_spread_over_the_interval() {
    for initial in [InitialState::Up, InitialState::Down] {
        let check = Played::new("played");
        let settings = every(10).initial(initial);
        let _scene = Scene::new(1..=100, |u| u.health_check(check.clone(), settings)).await;
        sleep(Duration::from_secs(40)).await;
        let mut by_second = [0; 10];
        for port in 1..=100 {
            let times = check.times(port);
            let at = times.iter().find(|&&at| at >= 20_000).unwrap();
            by_second[(at - 20_000) as usize / 1000] += 1;
        }
        let (least, most) = (by_second.iter().min(), by_second.iter().max());
        assert!(
            least > Some(&5) && most < Some(&20),
            "{initial:?}: {by_second:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_probes_run_at_once_than_allowed() {
    let check = Played::new("played");
    for port in 1..=50 {
        check.play(port, Answer::Takes(Duration::from_secs(4)));
    }
    let settings = every(5).max_concurrent(10);
    let scene = Scene::new(1..=50, |u| u.health_check(check.clone(), settings)).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(check.stage().most_running, 10);
    // Ten at a time for four seconds each: a round takes twenty seconds, and no backend is left out.
    let statuses = scene.upstream.health_checks();
    assert!(
        statuses
            .iter()
            .all(|status| (2..=4).contains(&status.probes))
    );
}

#[tokio::test(start_paused = true)]
async fn probes_of_all_upstreams_share_the_permits() {
    let check = Played::new("played");
    let (permits, mut scenes) = (ProbePermits::new(8), Vec::new());
    for upstream in 0..4 {
        let ports = (1..=10).map(|port| upstream * 10 + port);
        ports
            .clone()
            .for_each(|port| check.play(port, Answer::Takes(Duration::from_secs(4))));
        let describe = |u: UpstreamBuilder| u.health_check(check.clone(), every(5));
        scenes.push(Scene::sharing(&permits, ports, describe).await);
    }
    after(100).await;
    assert_eq!(check.stage().most_running, 8);
    // Eight at a time for four seconds each: a round of all forty takes twenty seconds, whatever their upstream.
    let statuses = scenes
        .iter()
        .flat_map(|scene| scene.upstream.health_checks());
    let probes: Vec<u64> = statuses.map(|status| status.probes).collect();
    assert!(probes.iter().all(|n| (3..=6).contains(n)), "{probes:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_makes_intervals_longer_by_a_random_time() {
    let check = Played::new("played");
    let settings = every(10).jitter(Duration::from_secs(4));
    let _scene = Scene::new(1..=20, |u| u.health_check(check.clone(), settings)).await;
    after(200).await;
    let all = (1..=20).flat_map(|port| {
        let times = check.times(port);
        let pairs = times.windows(2).map(|pair| pair[1] - pair[0]);
        pairs.collect::<Vec<_>>()
    });
    // A probe may begin 5 ms before it is due.
    let intervals: Vec<u64> = all.collect();
    let in_range = |interval: &u64| (9_995..=14_005).contains(interval);
    assert!(intervals.iter().all(in_range), "{intervals:?}");
    let of_second = |second| intervals.iter().filter(|&&i| i / 1000 == second).count();
    let counts: Vec<usize> = (10..14).map(of_second).collect();
    assert!(
        counts.iter().all(|&count| count > intervals.len() / 8),
        "{counts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn probes_that_are_due_close_to_each_other_begin_together() {
    let check = Played::new("played");
    let _scene = Scene::new(1..=2000, |u| u.health_check(check.clone(), every(2))).await;
    after(60).await;
    let mut times: Vec<u64> = (1..=2000).flat_map(|port| check.times(port)).collect();
    times.retain(|time| (20_000..40_000).contains(time));
    assert!((19_900..=20_100).contains(&times.len()), "{}", times.len());
    times.sort();
    times.dedup();
    // One each millisecond without batches.
    assert!(times.len() < 5_000, "{}", times.len());
    for port in 1..=2000 {
        let times = check.times(port);
        let intervals = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            intervals
                .clone()
                .all(|interval| (1_994..=2_006).contains(&interval)),
            "{times:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn probes_stay_spread_after_a_pause_of_their_thread() {
    let check = Played::new("played");
    let _scene = Scene::new(1..=100, |u| u.health_check(check.clone(), every(10))).await;
    after(20).await;
    // No task runs meanwhile.
    tokio::time::advance(Duration::from_secs(4)).await;
    after(40).await;
    let mut by_second = [0; 10];
    for port in 1..=100 {
        let times = check.times(port);
        let at = times.iter().find(|&&at| at >= 40_000).unwrap();
        by_second[(at - 40_000) as usize / 1000] += 1;
    }
    assert!(
        by_second.iter().all(|count| (5..20).contains(count)),
        "{by_second:?}"
    );
}
