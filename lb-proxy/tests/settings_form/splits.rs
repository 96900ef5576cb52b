//! Listeners of a file whose upstreams share the connections by weight.

use lb_proxy::settings_file::{ListenerSettings, ProxySettings, UpstreamChoice, UpstreamShare};
use test_support::nodes::named;
use test_support::proxy::RunningProxy;
use test_support::streams::{answers, counts, read_all};
use test_support::tls::client_hello;
use tokio::io::AsyncWriteExt;

use crate::{read, round_trip};

/// A file with the upstreams `a` and `b`, whose backends answer with these names.
async fn file(listener: &str) -> ProxySettings {
    let [a, b] = [named("a").await, named("b").await];
    let settings: ProxySettings = read(&format!(
        "{{upstreams: {{a: {{sources: [{{static: ['{a}']}}]}}, b: {{sources: [{{static: ['{b}']}}]}}}}, \
         listeners: [{{listen: '127.0.0.1:0', {listener}}}]}}"
    ));
    round_trip(&settings);
    settings
}

#[test]
fn a_choice_is_a_name_or_a_list_of_shares() {
    let listener = |text: &str| {
        let settings: ListenerSettings = read(&format!("{{listen: '[::]:446', upstream: {text}}}"));
        round_trip(&settings);
        settings.upstream
    };
    let shares = [UpstreamShare::new("a", 95), UpstreamShare::new("b", 1)];
    let split = listener("[{upstream: a, weight: 95}, {upstream: b}]");
    assert_eq!(split, UpstreamChoice::from_iter(shares));
    assert_eq!(listener("a"), "a".into());
}

#[tokio::test]
async fn connections_are_split_exactly_by_weight() {
    let listener = "upstream: [{upstream: a, weight: 70}, {upstream: b, weight: 30}]";
    let proxy = RunningProxy::run(file(listener).await.builder().unwrap()).await;
    let answers = answers(proxy.addr, 50, 5).await;
    assert_eq!(answers, counts(&[("a", 35), ("b", 15)]));
    proxy.end().await;
}

#[tokio::test]
async fn names_and_virtual_servers_choose_before_the_split() {
    let listener = "client_hello: {}, upstream: [{upstream: a}, {upstream: b, weight: 0}], \
        sessions: {server_names: {b.example.com: b}}, \
        virtual_servers: [{names: [v.example.com], upstream: [{upstream: a, weight: 0}, {upstream: b}]}]";
    let proxy = RunningProxy::run(file(listener).await.builder().unwrap()).await;
    for (name, expected) in [
        ("a.example.com", "a"),
        ("b.example.com", "b"),
        ("v.example.com", "b"),
        ("B.example.com", "b"),
        ("c.example.com", "a"),
    ] {
        let mut client = proxy.connect().await;
        client.write_all(&client_hello(name)).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, expected.as_bytes(), "{name}");
    }
    proxy.end().await;
}

#[tokio::test]
async fn shares_that_cannot_work_are_refused_with_their_place() {
    for (upstream, said) in [
        ("[]", "listeners[0].upstream: no upstream has a share"),
        (
            "[{upstream: a, weight: 0}]",
            "listeners[0].upstream: all weights are 0, so no upstream gets connections",
        ),
        (
            "[{upstream: a}, {upstream: c}]",
            "listeners[0].upstream[1].upstream: no upstream is called \"c\": use one of a, b",
        ),
    ] {
        let settings = file(&format!("upstream: {upstream}")).await;
        assert_eq!(settings.build().unwrap_err().to_string(), said);
    }
}
