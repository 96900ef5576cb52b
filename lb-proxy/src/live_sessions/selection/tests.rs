use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lb_core::Backend;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::{Instant, advance};

use super::super::table::{SessionTable, TrackedSession};
use super::*;
use crate::metrics::{Counters, RelayTraffic};

/// A session to be: listener, client, backend, age in seconds, bytes, phase.
type SelectionPlan = (u16, u8, Option<u8>, u64, u64, SessionPhase);

fn addr(host: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, host), port).into()
}

fn phase() -> impl Strategy<Value = SessionPhase> {
    let names = ["preread", "relaying", "closing"];
    prop::sample::select(
        names
            .map(|name| SessionPhase::from_name(name).unwrap())
            .to_vec(),
    )
}

fn plan() -> impl Strategy<Value = SelectionPlan> {
    (0..3_u16, 0..4_u8, of(0..3_u8), 0..5_u64, 0..5_u64, phase())
}

fn begin(table: &Arc<SessionTable>, now: Instant, plan: SelectionPlan) -> TrackedSession {
    let (listener, client, backend, age, bytes, phase) = plan;
    let accepted_at = now - Duration::from_secs(age);
    let tracked = table.add(
        table.next_id(),
        accepted_at,
        addr(client, 1),
        addr(0, listener),
    );
    tracked.session.enter(phase);
    tracked.session.change(|state| {
        let traffic = RelayTraffic::of_session(&Arc::new(Counters::default()), None);
        traffic.to_client.add(bytes);
        traffic.to_backend.add(1);
        state.traffic = Some(Arc::new(traffic));
        state.backend = backend.map(|host| Arc::new(Backend::new(addr(host, 80))));
    });
    tracked
}

fn filter() -> impl Strategy<Value = SessionFilter> {
    let conditions = (
        of(0..3_u16),
        of(0..3_u8),
        of(0..4_u8),
        of(phase()),
        of(0..5_u64),
        of(0..5_u64),
    );
    let selection = (
        prop::sample::select(SessionOrder::ALL.to_vec()),
        of(0..12_usize),
    );
    (conditions, selection).prop_map(
        |((listener, backend, client, phase, age, bytes), (order, limit))| {
            let mut filter = SessionFilter::new().order(order);
            if let Some(listener) = listener {
                filter = filter.listener(addr(0, listener));
            }
            if let Some(backend) = backend {
                filter = filter.backend(addr(backend, 80));
            }
            if let Some(client) = client {
                filter = filter.client(addr(client, 0).ip().into());
            }
            if let Some(phase) = phase {
                filter = filter.phase(phase);
            }
            if let Some(age) = age {
                filter = filter.older_than(Duration::from_secs(age));
            }
            if let Some(bytes) = bytes {
                filter = filter.more_bytes_than(bytes);
            }
            match limit {
                Some(limit) => filter.limit(limit),
                None => filter,
            }
        },
    )
}

/// Numbers of the selected sessions by a sort of all plans.
fn expected(plans: &[SelectionPlan], filter: &SessionFilter, table: &[TrackedSession]) -> Vec<u64> {
    let mut all: Vec<_> = table.iter().zip(plans).collect();
    all.retain(|(session, _)| filter.matches(&session.session.report()));
    all.sort_by_key(|(session, (_, _, _, age, bytes, _))| {
        let rank = match filter.order {
            SessionOrder::Oldest => u64::MAX - age,
            SessionOrder::Youngest => *age,
            SessionOrder::MostBytes => u64::MAX - bytes,
        };
        (rank, session.session.report().id)
    });
    let ids = all
        .iter()
        .map(|(session, _)| session.session.report().id.get());
    ids.take(filter.limit.unwrap_or(usize::MAX)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_selection_is_the_begin_of_all_matching_sessions_in_their_order() {
    advance(Duration::from_secs(60)).await;
    let now = Instant::now();
    let mut runner = TestRunner::new(Config::with_cases(128));
    let cases = (vec(plan(), 0..60), filter());
    let result = runner.run(&cases, |(plans, filter)| {
        let table = SessionTable::new(0, 1);
        let sessions = plans.iter().map(|plan| begin(&table, now, *plan));
        let sessions: Vec<_> = sessions.collect();
        let mut selection = Selection::new(&filter);
        table.visit(|session| selection.offer(session));
        let list = selection.into_list();
        let ids: Vec<_> = list
            .sessions
            .iter()
            .map(|session| session.id.get())
            .collect();
        prop_assert_eq!(ids, expected(&plans, &filter, &sessions));
        let matching = sessions
            .iter()
            .filter(|one| filter.matches(&one.session.report()));
        prop_assert_eq!(list.matched, matching.count());
        Ok(())
    });
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_condition_is_met_by_its_sessions_alone() {
    advance(Duration::from_secs(60)).await;
    let now = Instant::now();
    let table = SessionTable::new(0, 1);
    let relaying = SessionPhase::Relaying;
    let one = begin(&table, now, (1, 1, Some(1), 1, 1, relaying));
    let other = begin(&table, now, (2, 2, Some(2), 2, 2, SessionPhase::Queued));
    let none = begin(&table, now, (2, 2, None, 2, 2, SessionPhase::Queued));
    let [one, other, none] = [&one, &other, &none].map(|tracked| tracked.session.report());
    let new = SessionFilter::new;
    let filters = [
        new().id(other.id),
        new().backend(addr(2, 80)),
        new().listener(addr(0, 2)),
        new().client("10.0.0.2/31".parse().unwrap()),
        new().phase(SessionPhase::Queued),
        new().older_than(Duration::from_secs(2)),
        new().more_bytes_than(2),
    ];
    for filter in &filters {
        assert!(filter.matches(&other), "{filter:?}");
        assert!(!filter.matches(&one), "{filter:?}");
    }
    assert!(!filters[0].matches(&none) && !filters[1].matches(&none));
    assert!(!new().upstream("web").matches(&one));
    assert!(new().matches(&one) && new().limit(0).matches(&one));
}

#[tokio::test]
async fn a_close_leaves_sessions_out_that_are_about_to_end() {
    let table = SessionTable::new(0, 1);
    let now = Instant::now();
    let asked = table.add(table.next_id(), now, addr(1, 1), addr(0, 1));
    let cut = table.add(table.next_id(), now, addr(1, 1), addr(0, 1));
    let open = table.add(table.next_id(), now, addr(1, 1), addr(0, 1));
    let request = asked.session.close_request();
    assert!(request.close() && !request.close());
    cut.session.close_request().note_cut();
    let filter = SessionFilter::new().limit(1);
    let mut selection = Selection::new(&filter).without_closing();
    table.visit(|session| selection.offer(session));
    let chosen: Vec<_> = selection.into_sessions().collect();
    assert_eq!(chosen.len(), 1);
    assert!(Arc::ptr_eq(&chosen[0], &open.session));
    // The request waits for the session's task.
    request.close_requested().await;
}
