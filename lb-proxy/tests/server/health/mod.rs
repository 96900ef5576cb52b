//! Active health checks of real servers.

mod cost;
mod killed;
mod peer;
mod servers;
#[cfg(feature = "health-tls")]
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::{AdminState, Backend, BalancerConfig, Health, Snapshot, Weight};
use lb_discovery::Static;
use lb_proxy::balancing::OnBackendLoss;
use lb_proxy::health::{
    AgentCheck, CheckSettings, CheckState, CheckStatus, Expect, HealthCheck, HttpCheck,
    InitialState, NodePortCheck, ProbeHeader, SendExpect, TcpCheck,
};
use lb_proxy::{Listener, Upstream, UpstreamBuilder};
use test_support::deadline::{DEADLINE, eventually, ms, within};
use test_support::nodes::{Answering, listening, named};
use test_support::proxy::RunningProxy;
use test_support::sockets::{loopback, refusing};
use test_support::streams::assert_reset;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use servers::silent;

/// Probes every 20 ms that take as long as a busy machine needs.
fn often() -> CheckSettings {
    CheckSettings::default().interval(ms(20)).timeout(DEADLINE)
}

/// Probes every 20 ms that may take 200 ms, of servers that do not answer.
fn hasty() -> CheckSettings {
    often().timeout(ms(200))
}

/// A running proxy over one backend each at `addrs`, with a check.
struct Checked {
    upstream: Upstream,
    proxy: RunningProxy,
}

impl Checked {
    async fn of(addrs: &[SocketAddr], check: impl HealthCheck, settings: CheckSettings) -> Self {
        Self::with(addrs, |u| u.health_check(check, settings)).await
    }

    /// The first backend as the upstream has it.
    fn first(&self) -> Backend {
        let backends = self.upstream.backends();
        backends.snapshot().iter().next().unwrap().clone()
    }

    async fn with(
        addrs: &[SocketAddr],
        describe: impl FnOnce(UpstreamBuilder) -> UpstreamBuilder,
    ) -> Self {
        let backends = addrs.iter().map(|&addr| {
            let backend = Backend::new(addr).weight(Weight::new(10));
            backend.fail_limit(None)
        });
        let builder = Upstream::builder("checked")
            .discovery(Static::new(Snapshot::from_backends(backends)))
            .policy(lb_core::policy::WeightedRoundRobin::new());
        let upstream = describe(builder).build().unwrap();
        let listener = Listener::new(loopback(), &upstream);
        let proxy = RunningProxy::start(listener, None).await;
        let is_known = || !upstream.backends().snapshot().is_empty();
        eventually("the membership", is_known).await;
        Self { upstream, proxy }
    }

    fn statuses(&self) -> Vec<CheckStatus> {
        self.upstream.health_checks()
    }

    /// The state of the check of the first backend, once it has decided, and what the last probe said.
    async fn decided(&self) -> (CheckState, String) {
        let status = || self.statuses().into_iter().next();
        let is_decided = || status().is_some_and(|s| s.state != CheckState::Unchecked);
        eventually("the first result", is_decided).await;
        let status = status().unwrap();
        (status.state, status.last.unwrap().text.to_string())
    }

    async fn becomes(&self, at: usize, health: Health) {
        let is_it = || {
            let set = self.upstream.backends();
            let status = set.status(self.upstream.now()).nth(at);
            status.is_some_and(|status| status.health == health)
        };
        eventually("the health", is_it).await;
    }
}

/// What a check decides of a server, and what it says.
async fn decision(check: impl HealthCheck, addr: SocketAddr) -> (CheckState, String) {
    decision_by(check, often(), addr).await
}

/// The same with these settings.
async fn decision_by(
    check: impl HealthCheck,
    settings: CheckSettings,
    addr: SocketAddr,
) -> (CheckState, String) {
    let scene = Checked::of(&[addr], check, settings).await;
    let decided = scene.decided().await;
    scene.proxy.end().await;
    decided
}

fn up(text: &str) -> (CheckState, String) {
    (CheckState::Up, text.to_owned())
}

fn down(text: &str) -> (CheckState, String) {
    (CheckState::Down, text.to_owned())
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp_and_nothing_else_is() {
    let no_answer = "no result within 200ms";
    let mute = silent().await;
    assert_eq!(decision(TcpCheck::new(), mute).await, up(""));
    let (_held, dead) = refusing();
    let (state, text) = decision(TcpCheck::new(), dead).await;
    assert!(
        state == CheckState::Down && text.starts_with("cannot connect: Connection refused"),
        "{text}"
    );
    let greeted = SendExpect::new().expect(Expect::try_bytes("220 ").unwrap());
    let asked = decision_by(greeted.clone(), hasty(), mute).await;
    assert_eq!(asked, down(no_answer));
    let http = HttpCheck::try_new("/").unwrap();
    assert_eq!(decision_by(http, hasty(), mute).await, down(no_answer));
    let smtp = named("220 mail.example ESMTP\r\n").await;
    assert_eq!(decision(greeted, smtp).await, up("220 mail.example ESMTP"));
}

#[tokio::test]
async fn an_answer_has_to_be_the_expected_one() {
    let ftp = named("421 too many users\n").await;
    let expects = |bytes: &str| SendExpect::new().expect(Expect::try_bytes(bytes).unwrap());
    let wrong = r#"unexpected answer: "421 too many users\n""#;
    assert_eq!(decision(expects("220 "), ftp).await, down(wrong));
    let long = named("0123456789").await;
    let bounded = expects("x").max_bytes(8);
    assert_eq!(
        decision(bounded, long).await,
        down("no end of the answer within 8 bytes")
    );
    let empty = decision(expects("x"), named("").await).await;
    assert_eq!(empty, down("the backend sent nothing that was expected"));

    let redis = Answering::start(b"+PONG\r\n").await;
    let dialog = SendExpect::new()
        .send("PING\r\n")
        .expect(Expect::try_hex("2b 50").unwrap());
    assert_eq!(decision(dialog, redis.addr).await, up("+PONG"));
    assert!(redis.received().starts_with(b"PING\r\n"));
    #[cfg(feature = "health-regex")]
    {
        let regex = Expect::try_regex(r"^\+P[A-Z]+\r\n$").unwrap();
        let dialog = SendExpect::new().send("PING\r\n").expect(regex);
        assert_eq!(decision(dialog, redis.addr).await, up("+PONG"));
    }
}

#[tokio::test]
async fn an_answer_that_came_is_shown_when_the_time_ends() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let open = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"-ERR \x1b[1m\r\n").await;
            open.push(stream);
        }
    });
    let check = SendExpect::new().expect(Expect::try_bytes("+PONG").unwrap());
    let text = r#"unexpected answer: "-ERR \x1b[1m\r\n", and no other within 200ms"#;
    // The text of errors is escaped once more, for terminals.
    let (state, found) = decision_by(check, hasty(), addr).await;
    assert_eq!((state, &*found), (CheckState::Down, text));
    open.abort();
}

#[tokio::test]
async fn two_checks_of_one_type_have_names_of_their_own() {
    let server = Answering::start(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
    let check = |path| HttpCheck::try_new(path).unwrap();
    let scene = Checked::with(&[server.addr], |upstream| {
        let missing = check("/b").try_statuses([404..=404]).unwrap();
        upstream
            .health_check(check("/a"), often())
            .health_check(missing, often())
            .health_check(check("/c"), often().name("http uri=/c"))
    })
    .await;
    let states = || {
        let statuses = scene.statuses().into_iter();
        let states = statuses.map(|status| (status.check.to_string(), status.state));
        states.collect::<Vec<_>>()
    };
    let expected = [
        ("http", CheckState::Down),
        ("http #2", CheckState::Up),
        ("http uri=/c", CheckState::Down),
    ];
    let expected = expected.map(|(name, state)| (name.to_owned(), state));
    eventually("the states by name", || states() == expected).await;
    scene.proxy.end().await;
}

#[tokio::test]
async fn http_is_asked_for_its_status() {
    let ok = Answering::start(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let check = || HttpCheck::try_new("/up").unwrap();
    assert_eq!(decision(check(), ok.addr).await, up("204 No Content"));
    let request = String::from_utf8(ok.received()).unwrap();
    assert!(request.starts_with("GET /up HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nHost: {}\r\n", ok.addr)),
        "{request}"
    );
    let ill = Answering::start(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        decision(check(), ill.addr).await,
        down("unexpected status: 503 Busy")
    );
    let expected = check().try_statuses([503..=503]).unwrap();
    assert_eq!(decision(expected, ill.addr).await, up("503 Busy"));
    let (state, text) = decision(check(), named("SSH-2.0-OpenSSH_9\r\n").await).await;
    assert!(
        state == CheckState::Down && text.contains("SSH-2.0"),
        "{text}"
    );
}

#[tokio::test]
async fn kube_proxy_gives_the_weight_of_a_node() {
    let answer = b"HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 7\r\n\r\n{}";
    let (kube_proxy, node) = (Answering::start(answer).await, named("n").await);
    let check = NodePortCheck::new(kube_proxy.addr.port());
    let scene = Checked::of(&[node], check, often()).await;
    eventually("the weight", || scene.first().weight.get() == 7).await;
    assert!(kube_proxy.received().starts_with(b"GET /healthz "));
    kube_proxy.answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    scene.becomes(0, Health::Unhealthy).await;
    scene.proxy.end().await;
}

#[tokio::test]
async fn an_agent_changes_weight_limit_and_state_and_its_silence_nothing() {
    let (agent, node) = (
        Answering::start(b"up 50% maxconn:30\n").await,
        named("n").await,
    );
    let check = AgentCheck::new(agent.addr.port()).send("state\n");
    let scene = Checked::of(&[node], check, often()).await;
    let backend = || scene.first();
    eventually("the weight", || backend().weight.get() == 5).await;
    assert_eq!(backend().max_conns, NonZeroU32::new(30));
    assert!(agent.received().starts_with(b"state\n"));
    agent.answer(b"drain\r\n");
    eventually("the drain", || backend().admin == AdminState::Drain).await;
    assert_eq!(backend().weight.get(), 5);
    agent.answer(b"ready,down # disk full\n");
    scene.becomes(0, Health::Unhealthy).await;
    eventually("the end of the drain", || {
        backend().admin == AdminState::Ready
    })
    .await;
    assert_eq!(
        &*scene.statuses()[0].last.as_ref().unwrap().text,
        "disk full"
    );
    let inconclusive = || scene.statuses()[0].inconclusive;
    let before = inconclusive();
    agent.answer(b"");
    eventually("silence", || inconclusive() > before + 1).await;
    assert_eq!(scene.statuses()[0].state, CheckState::Down);
    agent.answer(b"up 100%\n");
    scene.becomes(0, Health::Healthy).await;
    eventually("the weight of the source", || backend().weight.get() == 10).await;
    scene.proxy.end().await;
}

#[tokio::test]
async fn probes_send_the_header_of_sessions() {
    for (header, expected) in [
        (ProbeHeader::V2, &b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..]),
        (ProbeHeader::V1, b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (ProbeHeader::Never, b"hello"),
    ] {
        let server = Answering::start(b"ok\n").await;
        let check = SendExpect::new()
            .send("hello")
            .expect(Expect::try_bytes("ok").unwrap());
        let scene = Checked::of(&[server.addr], check, often().header(header)).await;
        assert_eq!(scene.decided().await, up("ok"));
        assert!(server.received().starts_with(expected), "{header:?}");
        scene.proxy.end().await;
    }
    let server = Answering::start(b"ok\n").await;
    let describe = |u: UpstreamBuilder| {
        let check = SendExpect::new()
            .send("hello")
            .expect(Expect::try_bytes("ok").unwrap());
        u.send_proxy(Some(lb_proxy::proxy_protocol::SendProxy::v1()))
            .health_check(check, often())
    };
    let scene = Checked::with(&[server.addr], describe).await;
    assert_eq!(scene.decided().await, up("ok"));
    assert!(server.received().starts_with(b"PROXY TCP4 "));
    scene.proxy.end().await;
}

#[tokio::test]
async fn a_backend_that_flaps_is_up_only_after_enough_probes_in_a_row() {
    let flapping = Answering::start(b"ok\n").await;
    let check = SendExpect::new()
        .send("?")
        .expect(Expect::try_bytes("ok").unwrap());
    let settings = often().fall(2).rise(3);
    let scene = Checked::of(&[flapping.addr], check, settings).await;
    for round in 1..=3 {
        flapping.answer(b"no\n");
        scene.becomes(0, Health::Unhealthy).await;
        flapping.answer(b"ok\n");
        scene.becomes(0, Health::Healthy).await;
        let status = &scene.statuses()[0];
        assert!(status.consecutive >= 3);
        assert!(status.transitions >= 2 * round - 1, "{status:?}");
    }
    scene.proxy.end().await;
}

#[tokio::test]
async fn sessions_go_to_healthy_backends_and_leave_unhealthy_ones() {
    let (ill, well) = (listening("i").await, listening("w").await);
    // Each is checked at a port of the test.
    let (probed, port) = (Answering::start(b"ok").await, well.port());
    let check = servers::AtPort::new(ill, probed.addr.port(), port);
    let at_once = OnBackendLoss::Close {
        spread: Duration::ZERO,
    };
    let scene = Checked::with(&[ill, well], |u| {
        u.health_check(check, often().initial(InitialState::Down))
            .on_unhealthy(at_once)
    })
    .await;
    scene.becomes(0, Health::Healthy).await;
    scene.becomes(1, Health::Healthy).await;
    let mut of_ill = loop {
        let mut client = scene.proxy.connect().await;
        if client.read_u8().await.unwrap() == b'i' {
            break client;
        }
    };
    drop(probed);
    assert_reset(&mut of_ill).await;
    scene.becomes(0, Health::Unhealthy).await;
    for _ in 0..6 {
        assert_eq!(scene.proxy.connect().await.read_u8().await.unwrap(), b'w');
    }
    assert_eq!(scene.proxy.metrics().connect_failures, 0);
    scene.proxy.end().await;
}

#[tokio::test]
async fn if_all_are_down_sessions_are_refused_or_go_to_all_in_panic() {
    for (threshold, served) in [(0, false), (50, true)] {
        let backends = [named("a").await, named("b").await];
        let check = SendExpect::new().expect(Expect::try_bytes("never").unwrap());
        let config = BalancerConfig::default().panic_threshold(threshold);
        let describe = |u: UpstreamBuilder| u.balancer_config(config).health_check(check, often());
        let scene = Checked::with(&backends, describe).await;
        scene.becomes(0, Health::Unhealthy).await;
        scene.becomes(1, Health::Unhealthy).await;
        let read = scene.proxy.connect().await.read_u8().await;
        assert_eq!(read.is_ok(), served, "{threshold} {read:?}");
        scene.proxy.end().await;
    }
}

#[tokio::test]
async fn a_source_address_of_no_use_is_no_verdict() {
    let server = TcpListener::bind(loopback()).await.unwrap();
    let settings = often().source("::1".parse().unwrap());
    let scene = Checked::of(&[server.local_addr().unwrap()], TcpCheck::new(), settings).await;
    let inconclusive = || {
        scene
            .statuses()
            .first()
            .is_some_and(|status| status.inconclusive > 1)
    };
    eventually("probes", inconclusive).await;
    let status = &scene.statuses()[0];
    assert_eq!((status.state, status.failures), (CheckState::Unchecked, 0));
    assert!(
        status
            .last
            .as_ref()
            .unwrap()
            .text
            .contains("no IPv4 address among the source")
    );
    scene.proxy.end().await;
}

#[test]
fn settings_that_cannot_work_are_errors_of_the_upstream() {
    let built = Upstream::builder("u")
        .discovery(Static::new(Snapshot::default()))
        .health_check(TcpCheck::new(), often().interval(Duration::ZERO))
        .build();
    let error = built.unwrap_err().to_string();
    let expected = "the check \"tcp\" of upstream \"u\" cannot work: `interval` is below 10 ms";
    assert!(error.starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_port_without_an_agent_is_no_result_that_says_why() {
    let other = Answering::start(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (_held, refusing) = refusing();
    let silent = silent().await;
    for (port, settings, expected) in [
        (
            other.addr.port(),
            often(),
            "the agent said something unknown: \"HTTP/1.1\"",
        ),
        (
            refusing.port(),
            often(),
            "no answer of the agent: cannot connect: ",
        ),
        (silent.port(), hasty(), "no result within 200ms"),
    ] {
        let check = AgentCheck::new(port).send("state\n");
        let scene = Checked::of(&[named("n").await], check, settings).await;
        eventually("two probes", || scene.statuses()[0].inconclusive >= 2).await;
        let status = &scene.statuses()[0];
        assert_eq!(status.state, CheckState::Unchecked);
        let text = &*status.last.as_ref().unwrap().text;
        assert!(text.starts_with(expected), "{text}");
        scene.becomes(0, Health::Healthy).await;
        scene.proxy.end().await;
    }
}

#[tokio::test]
async fn probes_come_from_the_source_address() {
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let settings = often().source([127, 0, 0, 2].into());
    let check = SendExpect::new().expect(Expect::try_bytes("never").unwrap());
    let scene = Checked::of(&[addr], check, settings).await;
    let (_probe, from) = within("a probe", listener.accept()).await.unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.2");
    scene.proxy.end().await;
}

#[tokio::test]
async fn probes_go_to_the_port_of_the_check_and_sessions_to_that_of_the_backend() {
    let (probed, node) = (Answering::start(b"ok\n").await, named("n").await);
    let check = SendExpect::new()
        .send("hello")
        .expect(Expect::try_bytes("ok").unwrap());
    let settings = often().port(Some(probed.addr.port()));
    let scene = Checked::of(&[node], check, settings).await;
    assert_eq!(scene.decided().await, up("ok"));
    assert_eq!(probed.received(), b"hello");
    assert_eq!(scene.proxy.connect().await.read_u8().await.unwrap(), b'n');
    // The backend works, and counts as unhealthy all the same.
    drop(probed);
    scene.becomes(0, Health::Unhealthy).await;
    assert!(scene.proxy.connect().await.read_u8().await.is_err());
    assert_eq!(scene.proxy.metrics().no_backend, 1);
    scene.proxy.end().await;
}
