//! promtool and the metrics of the process. On request: `LB_TEST_PROMETHEUS=/path/to/prometheus`, with promtool beside it.

use std::path::PathBuf;

use test_support::promtool::check_metrics;
use tokio::net::TcpStream;

use crate::admin::request;
use crate::proxy::NginxLike;
use crate::sockets::{Reserved, within};

#[tokio::test]
async fn promtool_accepts_the_metrics_of_the_process_with_those_of_sockets() {
    let Some(program) = std::env::var_os("LB_TEST_PROMETHEUS").map(PathBuf::from) else {
        eprintln!("skipped: LB_TEST_PROMETHEUS is not set");
        return;
    };
    let backend = Reserved::any();
    let _backend = backend.serve("one").await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("lb.sock");
    let stream = format!(
        "lb_admin unix:{}; upstream u {{ hash $remote_addr consistent; server {}; }}\n\
         server {{ listen LISTEN; proxy_pass u; health_check interval=1s; }}",
        socket.display(),
        backend.addr
    );
    let proxy = NginxLike::start("", &stream).await;
    let _client = TcpStream::connect(proxy.addr).await.unwrap();
    let metrics = async {
        loop {
            let text = request(&socket, "GET", "/metrics?sockets=100").await;
            if text.contains("lb_upstream_socket_rtt_seconds") {
                return text;
            }
        }
    };
    let metrics = within("a socket", metrics).await;
    for name in ["process_open_fds", "nginx_like_build_info", "lb_check_up"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    check_metrics(&program, &metrics);
}
