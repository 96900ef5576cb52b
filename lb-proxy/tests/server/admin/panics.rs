//! Code of the program that panics while the admin server answers: the request fails, and nothing else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lb_core::{Backend, Snapshot};
use lb_discovery::Static;
use lb_proxy::admin::{
    Admin, AdminBuilder, AdminListener, AdminServer, AdminSettings, ConfigLine, LogLevels,
};
use lb_proxy::routing::RouteAction;
use lb_proxy::{Listener, Upstream};
#[cfg(feature = "metrics")]
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};
use test_support::fuse::Fuse;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, eager};
use test_support::sockets::loopback;
use test_support::streams::ask;

use super::{Answer, unix};

/// Levels of a log, and a collector, that panic once.
#[derive(Debug)]
struct FragileProgram(Arc<Fuse>);

impl LogLevels for FragileProgram {
    fn level(&self) -> String {
        self.0.burn("LogLevels::level");
        "info".to_owned()
    }

    fn check_level(&self, _: &str) -> Result<(), String> {
        self.0.burn("LogLevels::check_level");
        Ok(())
    }

    fn set_level(&self, _: &str) -> Result<(), String> {
        self.0.burn("LogLevels::set_level");
        Ok(())
    }
}

#[cfg(feature = "metrics")]
impl Collector for FragileProgram {
    fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.burn("Collector::encode");
        Ok(())
    }
}

#[cfg(feature = "metrics")]
fn with_registry(admin: AdminBuilder, fuse: &Arc<Fuse>) -> AdminBuilder {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FragileProgram(Arc::clone(fuse))));
    admin.registry(registry)
}

#[cfg(not(feature = "metrics"))]
fn with_registry(admin: AdminBuilder, _: &Arc<Fuse>) -> AdminBuilder {
    admin
}

/// A proxy of the backend "a", and an admin server with everything that a program can add to it.
struct PanicScene {
    proxy: RunningProxy,
    admin: AdminServer,
    folder: tempfile::TempDir,
}

impl PanicScene {
    async fn new(fuse: &Arc<Fuse>) -> Self {
        let nodes = Snapshot::from_backends([Backend::new(named("a").await)]);
        let upstream = Upstream::builder("nodes").discovery(Static::new(nodes));
        let upstream = upstream.discovery_config(eager()).build().unwrap();
        let (route, later, config) = (Arc::clone(fuse), Arc::clone(fuse), Arc::clone(fuse));
        let listener =
            Listener::new(loopback(), &upstream)
                .label("front")
                .route(move |connection| {
                    if !connection.is_dry_run() {
                        return RouteAction::Default;
                    }
                    route.burn("Listener::route");
                    let later = Arc::clone(&later);
                    RouteAction::later(async move {
                        later.burn("RouteAction::Later");
                        RouteAction::Default
                    })
                });
        let proxy = RunningProxy::start(listener, None).await;
        upstream.ready().await;
        let admin = Admin::builder(proxy.handle.clone())
            .log_levels(FragileProgram(Arc::clone(fuse)))
            .config(move || {
                config.burn("AdminBuilder::config");
                vec![ConfigLine::new("a.conf", 1, "stream {")]
            });
        let folder = tempfile::tempdir().unwrap();
        let settings = AdminSettings::unix(folder.path().join("lb.sock"));
        let listener = AdminListener::open(&settings).unwrap();
        Self {
            proxy,
            admin: with_registry(admin, fuse).build().serve(listener),
            folder,
        }
    }

    async fn ask(&self, method: &str, target: &str) -> Answer {
        let path = self.folder.path().join("lb.sock");
        unix(Path::new(&path), method, target).await
    }

    /// The proxy serves, and `panics` were counted.
    async fn end(self, panics: u64) {
        assert_eq!(ask(self.proxy.addr).await.unwrap(), "a");
        let metrics = self.proxy.metrics();
        assert_eq!((metrics.panics, metrics.panicked), (panics, 0));
        self.admin.stop().await;
        self.proxy.end().await;
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_request_and_the_next_one_is_answered() {
    let explain = "/explain?listener=front&client=10.0.0.1";
    for (code, method, target) in [
        ("AdminBuilder::config", "GET", "/config"),
        #[cfg(feature = "metrics")]
        ("Collector::encode", "GET", "/metrics"),
        ("Listener::route", "GET", explain),
        ("LogLevels::check_level", "POST", "/log_level?level=info"),
        ("LogLevels::level", "GET", "/log_level"),
        ("LogLevels::set_level", "POST", "/log_level?level=info"),
    ] {
        for call in [1, 2, 100] {
            let fuse = Fuse::armed(code, call);
            let scene = PanicScene::new(&fuse).await;
            for number in 1..=call + 2 {
                let answer = scene.ask(method, target).await;
                let expected = if number == call { 500 } else { 200 };
                assert_eq!(answer.status, expected, "{code} {call}: {answer:?}");
                if number == call {
                    let error = answer.json()["error"].as_str().unwrap().to_owned();
                    let text = format!("{code} panicked: {code} panics as the test wants");
                    assert_eq!(error, text);
                    assert_eq!(scene.ask("GET", "/status.json").await.status, 200);
                }
            }
            scene.end(1).await;
        }
    }
}

#[tokio::test]
async fn a_status_without_a_level_and_a_route_without_its_look_up_are_answers() {
    for call in [1, 2, 100] {
        let fuse = Fuse::armed("LogLevels::level", call);
        let scene = PanicScene::new(&fuse).await;
        for number in 1..=call + 2 {
            let status = scene.ask("GET", "/status.json").await.json();
            let level = &status["server"]["log_level"];
            assert_eq!(level.is_null(), number == call, "{level}");
        }
        scene.end(1).await;

        let fuse = Fuse::armed("RouteAction::Later", call);
        let scene = PanicScene::new(&fuse).await;
        for number in 1..=call + 2 {
            let target = "/explain?listener=front&client=10.0.0.1";
            let answer = scene.ask("GET", target).await.json();
            let expected = if number == call { "refuse" } else { "upstream" };
            assert_eq!(answer["action"], expected, "{answer}");
        }
        scene.end(1).await;
    }
}
