use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn found(texts: &[&str]) -> QuestionOutcome {
    Ok(Answer {
        records: ips(texts),
        valid_for: DAY,
    })
}

fn no_data(secs: u64) -> DiscoveryError {
    DiscoveryError::NoData {
        what: "looking up a.test".into(),
        valid_for: Some(Duration::from_secs(secs)),
    }
}

fn not_found(secs: u64) -> DiscoveryError {
    DiscoveryError::NotFound {
        what: "looking up a.test".into(),
        problem: "no such name".into(),
        valid_for: Some(Duration::from_secs(secs)),
    }
}

fn failed() -> DiscoveryError {
    DiscoveryError::Timeout {
        what: "looking up a.test".into(),
        problem: "no answer".into(),
    }
}

/// Joins two outcomes and returns the addresses as text.
fn join_both(
    known: &mut LastAddresses,
    v4: QuestionOutcome,
    v6: QuestionOutcome,
) -> Result<Vec<String>, DiscoveryError> {
    let outcomes = vec![(IpFamily::V4, v4), (IpFamily::V6, v6)];
    let found = join(&name("a.test."), outcomes, known)?;
    Ok(found.addrs.iter().map(ToString::to_string).collect())
}

#[test]
fn the_shorter_validity_counts() {
    let mut known = LastAddresses::default();
    let short = Ok(Answer {
        records: ips(&["::1"]),
        valid_for: Duration::from_secs(3),
    });
    let outcomes = vec![(IpFamily::V4, found(&["10.0.0.1"])), (IpFamily::V6, short)];
    let joined = join(&name("a.test."), outcomes, &mut known).unwrap();
    assert_eq!(joined.valid_for, Some(Duration::from_secs(3)));
    assert!(!known.partial);
}

#[test]
fn a_failing_family_keeps_its_addresses_until_it_answers() {
    let mut known = LastAddresses::default();
    let both = join_both(&mut known, found(&["10.0.0.1"]), found(&["::1"]));
    assert_eq!(both.unwrap(), ["10.0.0.1", "::1"]);
    for _ in 0..2 {
        let kept = join_both(&mut known, found(&["10.0.0.2"]), Err(failed()));
        assert_eq!(kept.unwrap(), ["10.0.0.2", "::1"]);
        assert!(known.partial);
    }
    let gone = join_both(&mut known, found(&["10.0.0.2"]), Err(no_data(1)));
    assert_eq!(gone.unwrap(), ["10.0.0.2"]);
    let gone = join_both(&mut known, found(&["10.0.0.2"]), Err(failed()));
    assert_eq!(gone.unwrap(), ["10.0.0.2"]);
}

#[test]
fn a_set_is_looked_at_again_soon_unless_a_family_stays_silent() {
    let unavailable = || DiscoveryError::Unavailable {
        what: "looking up a.test".into(),
        problem: "failed".into(),
        source: None,
    };
    let mut known = LastAddresses::default();
    for (v6, catching_up) in [
        (found(&["::1"]), false),
        (Err(failed()), true),
        (Err(failed()), false),
        (Err(unavailable()), true),
        (Err(no_data(1)), false),
        (Err(failed()), true),
    ] {
        let outcomes = vec![(IpFamily::V4, found(&["10.0.0.1"])), (IpFamily::V6, v6)];
        let joined = join(&name("a.test."), outcomes, &mut known).unwrap();
        assert_eq!(joined.catching_up, catching_up);
        assert_eq!(joined.valid_for, Some(DAY));
    }
}

#[test]
fn a_late_outcome_counts_like_one_in_time() {
    let mut known = LastAddresses::default();
    join_both(&mut known, found(&["10.0.0.1"]), Err(failed())).unwrap();
    known.catch_up(IpFamily::V6, found(&["::1"]));
    assert_eq!(known.v6, ips(&["::1"]));
    known.catch_up(IpFamily::V6, Err(failed()));
    assert_eq!(known.v6, ips(&["::1"]));
    known.catch_up(IpFamily::V6, Err(no_data(1)));
    assert!(known.v6.is_empty());
    assert_eq!(known.v4, ips(&["10.0.0.1"]));
}

#[test]
fn addresses_of_another_name_are_not_kept() {
    let mut known = LastAddresses {
        name: Some(name("b.test.")),
        v6: ips(&["::1"]),
        ..LastAddresses::default()
    };
    let joined = join_both(&mut known, found(&["10.0.0.1"]), Err(failed()));
    assert_eq!(joined.unwrap(), ["10.0.0.1"]);
    assert_eq!(known.name, Some(name("a.test.")));
}

#[test]
fn a_failure_counts_more_than_an_absence() {
    let mut known = LastAddresses::default();
    join_both(&mut known, found(&["10.0.0.1"]), found(&["::1"])).unwrap();
    let before = known.clone();
    for (v4, v6) in [
        (failed(), failed()),
        (failed(), not_found(1)),
        (no_data(1), failed()),
    ] {
        let error = join_both(&mut known, Err(v4), Err(v6)).unwrap_err();
        assert!(!error.is_authoritative_empty());
        assert_eq!(known, before);
    }
}

#[test]
fn an_absence_is_forgotten_addresses() {
    let mut known = LastAddresses::default();
    join_both(&mut known, found(&["10.0.0.1"]), found(&["::1"])).unwrap();
    let error = join_both(&mut known, Err(no_data(9)), Err(no_data(4))).unwrap_err();
    assert!(matches!(error, DiscoveryError::NoData { .. }));
    assert_eq!(error.valid_for(), Some(Duration::from_secs(4)));
    assert_eq!(known, LastAddresses::default());
}

#[test]
fn of_two_absences_the_lesser_claim_counts() {
    for (v4, v6) in [(no_data(5), not_found(2)), (not_found(2), no_data(5))] {
        let error = join_both(&mut LastAddresses::default(), Err(v4), Err(v6)).unwrap_err();
        assert!(matches!(error, DiscoveryError::NoData { .. }));
        assert_eq!(error.valid_for(), Some(Duration::from_secs(2)));
    }
}
