//! The embedder's data of a session.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use lb_core::Backend;
use lb_core::policy::Maglev;
use lb_discovery::Static;
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::events::{Connection, Summary};
use lb_proxy::{Hooks, Listener, Upstream};
use test_support::deadline::eventually;
use test_support::nodes::named;
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use test_support::streams::ask;

/// The data of a session: its number, and what has seen it.
#[derive(Debug)]
struct Data {
    number: usize,
    seen_by: Mutex<Vec<&'static str>>,
}

#[derive(Debug, Default)]
struct Ends(Mutex<Vec<(usize, Vec<&'static str>)>>);

fn note(connection: &Connection, name: &'static str) {
    assert!(connection.data::<String>().is_none());
    let data = connection.data::<Data>().unwrap();
    data.seen_by.lock().unwrap().push(name);
}

impl Hooks for Ends {
    fn close(&self, connection: &Connection, _: &Summary<'_>) {
        let data = connection.data::<Data>().unwrap();
        let seen_by = data.seen_by.lock().unwrap().clone();
        self.0.lock().unwrap().push((data.number, seen_by));
    }
}

#[tokio::test]
async fn a_session_has_one_value_that_routes_keys_and_hooks_share() {
    let backend = Backend::new(named("a").await);
    let key = KeyPart::custom("key", |connection| {
        note(connection, "key");
        HashKey::none()
    });
    let upstream = Upstream::builder("test")
        .discovery(Static::new([backend].into_iter().collect()))
        .policy(Maglev::new())
        .hash_key([key])
        .build()
        .unwrap();
    let (created, ends) = (AtomicUsize::new(0), Arc::new(Ends::default()));
    let listener = Listener::new(loopback(), &upstream)
        .session_data(move |connection| {
            assert_eq!(connection.client, connection.peer);
            Data {
                number: created.fetch_add(1, Relaxed),
                seen_by: Mutex::default(),
            }
        })
        .route(|connection| {
            note(connection, "route");
            None
        })
        .hooks(ends.clone());
    let proxy = RunningProxy::start(listener, None).await;
    for _ in 0..2 {
        assert_eq!(ask(proxy.addr).await.unwrap(), "a");
    }
    eventually("both ends", || ends.0.lock().unwrap().len() == 2).await;
    let mut seen = ends.0.lock().unwrap().clone();
    seen.sort_unstable();
    let by = vec!["route", "key"];
    assert_eq!(seen, [(0, by.clone()), (1, by)]);
    proxy.end().await;
}
