use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::thread;

use super::*;

const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 446);

fn add(table: &Arc<SessionTable>) -> TrackedSession {
    table.add(table.next_id(), Instant::now(), ADDR, ADDR)
}

fn id_of(tracked: &TrackedSession) -> SessionId {
    tracked.session.report().id
}

#[test]
fn a_session_that_stays_is_visited_once_while_others_come_and_go() {
    let table = SessionTable::new(0, 1);
    let mut staying = Vec::new();
    let mut leaving = Vec::new();
    for number in 0..10 * CHUNK {
        let one = add(&table);
        match number % 3 {
            0 => staying.push(one),
            _ => leaving.push(one),
        }
    }
    let churning = Arc::clone(&table);
    let churn = thread::spawn(move || {
        for one in leaving {
            drop(one);
            drop((add(&churning), add(&churning)));
        }
    });
    loop {
        let is_last = churn.is_finished();
        let mut visits = HashMap::<SessionId, u32>::new();
        table.visit(|session| *visits.entry(session.report().id).or_default() += 1);
        for one in &staying {
            assert_eq!(visits.get(&id_of(one)), Some(&1));
        }
        if is_last {
            break;
        }
    }
    churn.join().unwrap();
    assert_eq!(table.lock().len(), staying.len());
    drop(staying);
    assert_eq!(table.lock().len(), 0);
}

#[test]
fn a_table_that_was_large_gives_its_memory_back() {
    let table = SessionTable::new(0, 1);
    assert_eq!(table.lock().capacity(), 0);
    let sessions: Vec<_> = (0..=KEPT_SLOTS).map(|_| add(&table)).collect();
    assert!(table.lock().capacity() > KEPT_SLOTS);
    drop(sessions);
    assert_eq!(table.lock().capacity(), 0);
}

#[test]
fn workers_give_out_different_numbers() {
    let tables = [0, 1, 2].map(|number| SessionTable::new(number, 3));
    let mut all = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        for _ in 0..4 {
            let id = id_of(&add(table));
            for (other, table) in tables.iter().enumerate() {
                assert_eq!(table.may_have(id), other == number);
            }
            all.push(id.get());
        }
    }
    all.sort_unstable();
    assert_eq!(all, (1..=12).collect::<Vec<_>>());
    assert!(!tables.iter().any(|table| table.may_have(SessionId::new(0))));
}

#[cfg(feature = "metrics")]
#[test]
fn a_sample_has_a_bound_no_session_twice_and_other_sessions_each_time() {
    use std::collections::HashSet;
    let table = SessionTable::new(0, 1);
    let sample = |most| {
        let (mut ids, mut visits) = (HashSet::new(), 0);
        table.sample(most, |session| {
            visits += 1;
            ids.insert(session.report().id);
        });
        assert_eq!(ids.len(), visits);
        ids
    };
    assert!(sample(10).is_empty());
    let mut all: Vec<_> = (0..5000).map(|_| add(&table)).collect();
    assert!(sample(0).is_empty());
    assert_eq!(sample(10_000).len(), 5000);
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let ids = sample(500);
        assert!((450..=500).contains(&ids.len()), "{}", ids.len());
        seen.extend(ids);
    }
    assert!(seen.len() > 4500, "{} were sampled", seen.len());
    // Most slots are vacant now.
    all.truncate(50);
    let (mut most, mut total) = (0, 0);
    for _ in 0..200 {
        let ids = sample(50);
        most = most.max(ids.len());
        total += ids.len();
    }
    assert!(most <= 50 && total > 50, "{most}, {total} in all");
}

/// What a tracked session takes in its table. Its counters take about as much again.
#[test]
fn a_live_session_is_small() {
    let size = size_of::<LiveSession>();
    assert!(size <= 256, "{size} bytes");
}
