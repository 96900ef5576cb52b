//! `/status.json`: what it says beyond the standing of backends.

use std::time::Duration;

use lb_core::policy::Maglev;
use lb_core::{Backend, Snapshot};
use lb_discovery::{DriverConfig, Static};
use lb_proxy::admin::status::Status;
use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use lb_proxy::{Listener, Proxy, Upstream};
use serde_json::Value;
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, eager, upstream};
use test_support::sockets::{loopback, refusing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::unix;

/// The status of a proxy, as an admin server of it answers.
async fn status(proxy: &RunningProxy) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let listener = AdminListener::open(&AdminSettings::unix(path.as_path())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let answer = unix(&path, "GET", "/status.json").await.json();
    admin.stop().await;
    answer
}

#[tokio::test]
async fn counters_are_shown_where_they_are_counted() {
    let node = listening("a").await;
    let (_held, dead) = refusing();
    let upstream = upstream([dead, node].map(Backend::new));
    let describe = || Proxy::builder().listener(Listener::new(loopback(), &upstream));
    let proxy = RunningProxy::run(describe().detailed_metrics(true)).await;
    let mut clients = Vec::new();
    while proxy.metrics().connect_failures == 0 {
        let mut client = proxy.connect().await;
        client.write_all(b"12345").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        clients.push(client);
    }
    let count = clients.len() as u64;
    let sent = || proxy.metrics().bytes_to_backends == 5 * count;
    eventually("the bytes", sent).await;

    let status = status(&proxy).await;
    let pool = &status["upstreams"][0];
    assert_eq!(pool["counters"]["sessions"], count);
    assert_eq!(pool["counters"]["failures"]["failed"], 1);
    assert_eq!(pool["counters"]["retries"], 1);
    assert_eq!(pool["counters"]["bytes_to_clients"], count);
    let of = |addr: std::net::SocketAddr| {
        let mut backends = pool["backends"].as_array().unwrap().iter();
        let endpoint = addr.to_string();
        backends.find(|backend| backend["endpoint"] == endpoint)
    };
    let refuses = &of(dead).unwrap()["counters"];
    assert_eq!(
        (&refuses["sessions"], &refuses["active"]),
        (&0.into(), &0.into())
    );
    assert_eq!(refuses["failures"], serde_json::json!({ "failed": 1 }));
    let serves = &of(node).unwrap()["counters"];
    assert_eq!(
        (&serves["sessions"], &serves["active"]),
        (&count.into(), &count.into())
    );
    assert_eq!(serves["failures"], serde_json::json!({}));
    assert_eq!(serves["bytes_to_backend"], 5 * count);
    assert_eq!(serves["bytes_to_client"], count);
    assert_eq!(
        status["listeners"][0]["counters"]["bytes_to_clients"],
        count
    );
    serde_json::from_value::<Status>(status).unwrap();
    drop(clients);
    proxy.end().await;

    let plain = RunningProxy::run(describe()).await;
    let status = self::status(&plain).await;
    assert!(status["upstreams"][0]["counters"].is_null(), "{status}");
    assert!(status["listeners"][0]["counters"].is_null(), "{status}");
    plain.end().await;
}

#[tokio::test]
async fn a_failing_source_says_when_it_is_asked_again() {
    let hour = Duration::from_secs(3600);
    let config = DriverConfig::new()
        .backoff_base(hour)
        .backoff_max(hour)
        .initial_wait(Duration::ZERO);
    let upstream = Upstream::builder("pool")
        .discovery(Script::new([Watch::Fail]))
        .discovery_config(config)
        .build()
        .unwrap();
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &upstream)).await;
    let fails = || upstream.discovery().sources[0].next_attempt.is_some();
    eventually("the failure", fails).await;
    let status = status(&proxy).await;
    let source = &status["upstreams"][0]["sources"][0];
    let left = source["next_attempt_ms"].as_u64().unwrap();
    assert!((60_000..=3_600_000).contains(&left), "{source}");
    proxy.end().await;
}

#[tokio::test]
async fn policies_have_the_names_of_configurations_and_metrics() {
    let node = listening("a").await;
    let source = || Static::new(Snapshot::from_backends([Backend::new(node)]));
    let maglev = Upstream::builder("hashed")
        .discovery(source())
        .discovery_config(eager())
        .policy(Maglev::try_new(13).unwrap())
        .build()
        .unwrap();
    let proxy = RunningProxy::run(Proxy::builder().listen(loopback(), &maglev)).await;
    eventually("the membership", || maglev.is_ready()).await;
    let status = status(&proxy).await;
    let upstream = &status["upstreams"][0];
    assert_eq!(upstream["policy"], "maglev");
    assert_eq!(upstream["policy_settings"]["table_size"], "13");
    let digest = format!("{:016x}", maglev.backends().digest());
    assert_eq!(upstream["digest"], digest);
    proxy.end().await;
}
