use super::*;

const OURS: [&str; 3] = ["Accepted", "Programmed", "PartiallyInvalid"];

const fn at(now: &str, generation: i64) -> ReportTime<'_> {
    ReportTime {
        generation: Some(generation),
        now,
    }
}

fn times(conditions: &[Condition]) -> Vec<&str> {
    conditions
        .iter()
        .map(|one| &*one.last_transition_time)
        .collect()
}

fn types(conditions: &[Condition]) -> Vec<&str> {
    conditions.iter().map(|one| &*one.kind).collect()
}

#[test]
fn the_transition_time_changes_with_the_status_alone() {
    let first = merge(
        &[],
        &[Reported::yes("Accepted", "Accepted")],
        &OURS,
        at("t10", 1),
    );
    let same = Reported::yes("Accepted", "ListenersNotValid").saying("one");
    let same = merge(&first, &[same], &OURS, at("t20", 2));
    assert_eq!(
        (times(&same), &*same[0].reason),
        (vec!["t10"], "ListenersNotValid")
    );
    assert_eq!(same[0].observed_generation, Some(2));
    let changed = merge(
        &same,
        &[Reported::no("Accepted", "Invalid", "two")],
        &OURS,
        at("t30", 3),
    );
    assert_eq!(
        (times(&changed), changed[0].status),
        (vec!["t30"], ConditionStatus::False)
    );
}

#[test]
fn conditions_of_others_stay_in_their_places_and_ours_that_ended_go() {
    let foreign = Condition {
        kind: "example.com/Seen".into(),
        reason: "Seeded".into(),
        ..condition(&Reported::yes("Accepted", "x"), at("t1", 1))
    };
    let ours = merge(
        std::slice::from_ref(&foreign),
        &[
            Reported::yes("Accepted", "Accepted"),
            Reported::yes("PartiallyInvalid", "UnsupportedValue"),
        ],
        &OURS,
        at("t10", 1),
    );
    assert_eq!(
        types(&ours),
        ["example.com/Seen", "Accepted", "PartiallyInvalid"]
    );
    let later = merge(
        &ours,
        &[Reported::yes("Accepted", "Accepted")],
        &OURS,
        at("t20", 2),
    );
    assert_eq!(types(&later), ["example.com/Seen", "Accepted"]);
    assert_eq!(later[0], foreign);
}

#[test]
fn a_stale_copy_of_the_object_does_not_replace_a_later_report() {
    let later = merge(
        &[],
        &[Reported::yes("Accepted", "Accepted")],
        &OURS,
        at("t10", 7),
    );
    let stale = merge(
        &later,
        &[Reported::no("Accepted", "Invalid", "")],
        &OURS,
        at("t20", 6),
    );
    assert_eq!(stale, later);
}

#[test]
fn the_default_conditions_of_the_api_server_are_replaced() {
    let default = Condition {
        last_transition_time: "1970-01-01T00:00:00Z".into(),
        message: "Waiting for controller".into(),
        observed_generation: None,
        reason: "Pending".into(),
        status: ConditionStatus::Unknown,
        kind: "Accepted".into(),
    };
    let merged = merge(
        &[default],
        &[Reported::yes("Accepted", "Accepted")],
        &OURS,
        at("t10", 1),
    );
    assert_eq!(
        (times(&merged), merged[0].observed_generation),
        (vec!["t10"], Some(1))
    );
}

#[test]
fn no_more_than_eight_conditions_and_no_endless_message() {
    let foreign: Vec<_> = (0..7)
        .map(|i| Condition {
            kind: format!("example.com/C{i}"),
            ..condition(&Reported::yes("Accepted", "x"), at("t1", 1))
        })
        .collect();
    let long = Reported::no("Accepted", "Invalid", "ä".repeat(2000));
    let merged = merge(
        &foreign,
        &[long, Reported::yes("Programmed", "x")],
        &OURS,
        at("t2", 1),
    );
    assert_eq!(merged.len(), 8);
    assert_eq!(merged[7].kind, "Accepted");
    assert!(merged[7].message.len() <= MAX_MESSAGE && merged[7].message.ends_with("ä…"));
}
