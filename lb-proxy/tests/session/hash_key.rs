//! The hash keys of an upstream.

use std::collections::BTreeSet;

use lb_core::Backend;
use lb_core::policy::Maglev;
use lb_discovery::Static;
use lb_proxy::balancing::{HashKey, KeyPart};
use lb_proxy::{Listener, Upstream};
use test_support::nodes::named;
use test_support::proxy::RunningProxy;
use test_support::sockets::loopback;
use test_support::streams::ask;

#[tokio::test]
async fn an_upstream_names_its_hash_key() {
    let nodes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut backends = Vec::new();
    for node in nodes {
        backends.push(Backend::new(named(node).await).name(node));
    }
    let mut answers = BTreeSet::new();
    for key in [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ] {
        let custom = KeyPart::custom(key, |_| HashKey::from_bytes(key.as_bytes()));
        let mut of_key = BTreeSet::new();
        for part in [custom, KeyPart::text(key)] {
            let upstream = Upstream::builder("hashed")
                .discovery(Static::new(backends.iter().cloned().collect()))
                .policy(Maglev::new())
                .hash_key([part])
                .build()
                .unwrap();
            let listener = Listener::new(loopback(), &upstream);
            let proxy = RunningProxy::start(listener, None).await;
            of_key.extend([
                ask(proxy.addr).await.unwrap(),
                ask(proxy.addr).await.unwrap(),
            ]);
            proxy.end().await;
        }
        assert_eq!(of_key.len(), 1, "{key} went to {of_key:?}");
        answers.extend(of_key);
    }
    assert!(answers.len() > 1, "every key went to {answers:?}");
}
