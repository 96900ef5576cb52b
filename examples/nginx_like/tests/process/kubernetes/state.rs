//! A start without the API server.

use rustix::process::Signal;
use test_support::kubernetes::Fault;

use super::{Cluster, has_backends, stream, until};
use crate::proxy::NginxLike;

#[tokio::test]
async fn a_start_without_the_api_server_serves_from_the_state_file() {
    let cluster = Cluster::start().await;
    cluster.endpoints(&[0, 1]);
    let state = cluster.dir.path().join("state");
    let main = format!("lb_state {} interval=100ms;", state.display());
    let stream = stream("kubernetes default/echo port=echo", &cluster.kubeconfig());
    let first = NginxLike::start(&main, &stream).await;
    has_backends(&first).await;
    until(&first, &["node1", "node2"]).await;
    first.signal(Signal::TERM);
    assert!(first.exit().await.success());
    cluster.api.fault(Fault::Frozen);
    let second = NginxLike::start(&main, &stream).await;
    until(&second, &["node1", "node2"]).await;
    cluster.endpoints(&[2]);
    cluster.api.fault(Fault::None);
    until(&second, &["node3"]).await;
}
