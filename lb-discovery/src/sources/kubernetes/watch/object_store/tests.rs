//! Updates in any order end with the set of a fresh list of the final objects.

use futures::stream;
use proptest::prelude::*;
use serde_json::json;

use std::time::Duration;

use super::*;
use crate::sources::kubernetes::objects::slice::Slice;

/// A change of the slices of a Service.
#[derive(Clone, Debug)]
enum Happening {
    Put(u8, Vec<(u8, u8)>),
    Delete(u8),
    /// The watch was lost: everything is listed again.
    List,
}

fn happening() -> impl Strategy<Value = Happening> {
    let endpoints = prop::collection::vec((0_u8..6, 0_u8..8), 0..4);
    prop_oneof![
        6 => (0_u8..4, endpoints).prop_map(|(name, endpoints)| Happening::Put(name, endpoints)),
        2 => (0_u8..4).prop_map(Happening::Delete),
        1 => Just(Happening::List),
    ]
}

fn record(endpoints: &[(u8, u8)]) -> Slice {
    let endpoints = endpoints.iter().map(|(host, conditions)| {
        let bit = |n: u8| conditions >> n & 1 == 1;
        json!({
            "addresses": [format!("10.0.0.{host}")],
            "conditions": {"ready": bit(0), "serving": bit(1), "terminating": bit(2)},
        })
    });
    let object = json!({
        "metadata": {"name": "a"}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    });
    Slice::of(serde_json::from_value(object).unwrap())
}

fn objects(history: &Arc<WatchHistory>) -> ObjectStore<Slice> {
    ObjectStore {
        updates: stream::pending().boxed(),
        what: "watching".into(),
        destination: "http://one".into(),
        history: Arc::clone(history),
        known: None,
        unaccepted: None,
        changes: None,
        reports_list: false,
    }
}

fn set(objects: &ObjectStore<Slice>) -> lb_core::Snapshot {
    let slices = objects.get().unwrap().values();
    crate::sources::kubernetes::endpoint_slices::source::snapshot_of(slices)
}

proptest! {
    #[test]
    fn any_sequence_comes_to_the_final_list(happenings in prop::collection::vec(happening(), 0..40)) {
        let believing = WatchHistory::new(Duration::ZERO);
        let mut watched = objects(&believing);
        let mut actual: BTreeMap<String, Slice> = BTreeMap::new();
        watched.apply(Update::Replace(actual.clone())).unwrap();
        for happening in happenings {
            let before = set(&watched);
            let update = match happening {
                Happening::Put(name, endpoints) => {
                    let record = record(&endpoints);
                    actual.insert(name.to_string(), record.clone());
                    Update::Apply(name.to_string(), record)
                }
                Happening::Delete(name) => {
                    actual.remove(&name.to_string());
                    Update::Delete(name.to_string())
                }
                Happening::List => Update::Replace(actual.clone()),
            };
            let changes = watched.apply(update).unwrap();
            let mut fresh = objects(&WatchHistory::new(Duration::ZERO));
            fresh.apply(Update::Replace(actual.clone())).unwrap();
            prop_assert_eq!(set(&watched), set(&fresh));
            prop_assert!(changes || set(&watched) == before);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_accepted_when_it_stays_empty() {
    let history = WatchHistory::new(Duration::from_secs(10));
    let url = Arc::from("http://one");
    history.listed(0, "listing", &url).unwrap();
    history.listed(3, "listing", &url).unwrap();
    let doubt = history.listed(0, "listing", &url).unwrap_err();
    assert_eq!(
        doubt.to_string(),
        "listing: the list is empty, but had 3 before: not accepted before it has stayed empty for 10s"
    );
    assert_eq!(doubt.valid_for(), Some(Duration::from_secs(5)));
    assert!(!doubt.is_authoritative_empty());
    for (passes, left) in [(6_000, 3_500), (2_000, 1_500), (1_000, 1_000)] {
        tokio::time::advance(Duration::from_millis(passes)).await;
        let doubt = history.listed(0, "listing", &url).unwrap_err();
        assert_eq!(doubt.valid_for(), Some(Duration::from_millis(left)));
    }
    history.listed(1, "listing", &url).unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(
        history.listed(0, "listing", &url).is_err(),
        "it was not empty all the time"
    );
    tokio::time::advance(Duration::from_secs(10)).await;
    history.listed(0, "listing", &url).unwrap();
    history.listed(0, "listing", &url).unwrap();
}

#[test]
fn an_empty_list_of_another_cluster_or_selector_is_accepted() {
    let history = WatchHistory::new(Duration::from_secs(10));
    let (one, two) = (Arc::from("http://one"), Arc::from("http://two"));
    history.listed(3, "pods of a at one", &one).unwrap();
    history.listed(0, "pods of b at one", &one).unwrap();
    assert_eq!(history.destination(|| None), Some(one));
    history.listed(3, "pods of b at one", &two).unwrap();
    history.listed(0, "pods of b at two", &two).unwrap();
    assert_eq!(history.destination(|| None), Some(Arc::clone(&two)));
    // The same address by another proxy.
    let proxied = Arc::from("http://two by the proxy http://three/");
    history.listed(3, "pods of b at two", &two).unwrap();
    history.listed(0, "pods of b at two", &proxied).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watched_deletion_needs_no_confirmation() {
    let history = WatchHistory::new(Duration::from_secs(10));
    let mut objects = objects(&history);
    let url = Arc::clone(&objects.destination);
    let one = BTreeMap::from([("a".to_owned(), record(&[]))]);
    objects.apply(Update::Replace(one)).unwrap();
    assert!(objects.apply(Update::Delete("a".to_owned())).unwrap());
    assert!(!objects.apply(Update::Delete("a".to_owned())).unwrap());
    history.listed(0, "listing", &url).unwrap();
}

#[test]
fn too_many_objects_are_rejected_from_lists_and_watches() {
    let mut objects = objects(&WatchHistory::new(Duration::ZERO));
    let record = record(&[]);
    let full = (0..100_000).map(|number| (number.to_string(), record.clone()));
    objects.apply(Update::Replace(full.collect())).unwrap();
    let known = Update::Apply("7".to_owned(), record.clone());
    assert!(!objects.apply(known).unwrap());
    let error = objects.apply(Update::Apply("one more".to_owned(), record));
    assert_eq!(
        error.unwrap_err().to_string(),
        "watching: more than 100000 objects"
    );
}

#[tokio::test(start_paused = true)]
async fn reporting_an_empty_list_waits_for_the_other_lists() {
    let history = WatchHistory::new(Duration::from_secs(10));
    let mut objects = objects(&history);
    let one = BTreeMap::from([("a".to_owned(), record(&[]))]);
    let updates = [one, BTreeMap::new()].map(|all| Ok(Update::Replace(all)));
    objects.updates = stream::iter(updates).boxed();
    objects.changed().await.unwrap();
    let begin = Instant::now();
    // The wait is cancel-safe.
    let cancelled = tokio::time::timeout(REPORT_DELAY / 2, objects.changed()).await;
    assert!(cancelled.is_err());
    let doubt = objects.changed().await.unwrap_err();
    assert!(doubt.to_string().contains("not accepted"), "{doubt}");
    assert!((REPORT_DELAY..2 * REPORT_DELAY).contains(&begin.elapsed()));
}
