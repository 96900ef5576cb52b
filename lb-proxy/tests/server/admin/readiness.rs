//! `/readyz`.

use std::time::Duration;

use lb_discovery::DriverConfig;
use lb_proxy::admin::{Admin, AdminListener, AdminSettings};
use lb_proxy::{Proxy, Upstream};
use test_support::deadline::eventually;
use test_support::discovery::{Script, Watch};
use test_support::nodes::listening;
use test_support::proxy::{RunningProxy, reload, round_robin};
use test_support::sockets::loopback;

use super::tcp;

#[tokio::test]
async fn readiness_waits_for_the_membership_and_ends_first_at_a_shutdown() {
    let silent = Upstream::builder("silent")
        .discovery(Script::new([Watch::Hang]))
        .discovery_config(DriverConfig::default().initial_wait(Duration::from_secs(3600)))
        .build()
        .unwrap();
    let known = round_robin("known", listening("a").await);
    let describe = |upstream| {
        let proxy = Proxy::builder().listen(loopback(), upstream);
        proxy.pre_stop_delay(Duration::from_secs(3600))
    };
    let proxy = RunningProxy::run(describe(&silent)).await;
    let listener = AdminListener::open(&AdminSettings::tcp(loopback())).unwrap();
    let admin = Admin::builder(proxy.handle.clone()).build().serve(listener);
    let addr = admin.endpoint().key();
    let ready = async || tcp(addr, "GET", "/readyz", "host: localhost\r\n").await;
    let answer = ready().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("[-] membership"), "{answer:?}");
    reload(&proxy, describe(&known)).await.unwrap();
    eventually("the membership", || known.is_ready()).await;
    eventually("the listeners", || proxy.handle.is_ready()).await;
    let answer = ready().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    proxy.handle.shutdown();
    let answer = ready().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("[-] shutdown"), "{answer:?}");
    assert_eq!(
        tcp(addr, "GET", "/livez", "host: localhost\r\n")
            .await
            .status,
        200
    );
    admin.stop().await;
    proxy.handle.abort();
    proxy.end().await;
}
