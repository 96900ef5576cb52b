use super::*;

const SMALLEST: &str = "pools: [{name: edge, addresses: [192.0.2.1-192.0.2.9, 2001:db8::/120]}]";

fn problem(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn the_smallest_file_has_a_pool() {
    let config = Config::parse(SMALLEST).unwrap();
    assert_eq!(config.class, CLASS);
    assert!(!config.is_default_class && !config.takes_over);
    assert_eq!(config.cluster, ClusterPlace::default());
    assert_eq!((config.reach, config.max_ports), (Reach::Pods, 128));
    assert_eq!(config.withdraw_delay, Duration::ZERO);
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    let pool = config.pools.named("edge").unwrap();
    assert!(pool.is_automatic && pool.is_shared && pool.allows("any"));
}

#[test]
fn every_setting_is_read() {
    let config = Config::parse(
        "cluster: {kubeconfig: /etc/kube_lb/kubeconfig, context: edge}\n\
         class: example.com/lb\n\
         default_class: true\n\
         pools:\n\
         - name: inner\n  addresses: [198.51.100.7]\n  namespaces: [web, api]\n  automatic: false\n  shared: false\n\
         backends: nodes\n\
         max_ports: 10\n\
         take_over: true\n\
         lease: {namespace: kube-lb, name: lb, duration: 9s, identity: one}\n\
         workers: 2\n\
         admin: 127.0.0.1:9446\n\
         ready_file: {path: /run/lb, ready: 1, not_ready: 0, leaving: -1, heartbeat: 500ms}\n\
         withdraw_delay: 3s\n\
         drain_timeout: 2m\n",
    )
    .unwrap();
    assert_eq!(config.class, "example.com/lb");
    assert!(config.is_default_class && config.takes_over);
    let pool = config.pools.named("inner").unwrap();
    assert!(!pool.is_automatic && !pool.is_shared && pool.allows("web") && !pool.allows("default"));
    assert_eq!((config.reach, config.max_ports), (Reach::Nodes, 10));
    let lease = config.lease.unwrap();
    assert_eq!(
        (lease.name.as_str(), lease.identity.as_str()),
        ("lb", "one")
    );
    assert_eq!(
        (lease.duration, config.workers),
        (Duration::from_secs(9), Some(2))
    );
    assert_eq!(config.withdraw_delay, Duration::from_secs(3));
    assert_eq!(config.drain_timeout, Duration::from_secs(120));
    let file = ReadyFileSettings::new("/run/lb".into());
    let file = file.ready(1).not_ready(0).leaving(-1);
    let file = file.heartbeat(Duration::from_millis(500));
    assert_eq!(config.ready_file, Some(file));
}

#[test]
fn an_error_names_the_place_and_the_fix() {
    for (text, expected) in [
        ("pools: []\nclas: x", "clas"),
        ("{}", "pools"),
        (
            "pools: [{name: a, addresses: [192.0.2.1/24]}]",
            "the pool \"a\": \"192.0.2.1/24\" is no range",
        ),
        (
            "pools: [{name: a, addresses: [192.0.2.1, 192.0.2.0/24]}]",
            "have addresses in common",
        ),
        (
            "pools: [{name: a, addresses: []}]",
            "the pool \"a\" has no addresses",
        ),
        ("pools: []\nclass: 'a/b/c'", "class: \"a/b/c\" is no class"),
        ("pools: []\nclass: ''", "is no class"),
        ("pools: []\nworkers: 0", "workers: with 0 threads"),
        ("pools: []\nbackends: services", "services"),
        ("pools: []\ndrain_timeout: soon", "drain_timeout: \"soon\""),
        (
            "pools: []\nlease: {namespace: a, duration: 1s}",
            "lease.duration: at least 3s",
        ),
        (
            "pools: []\nready_file: {path: /run/a, ready: 1, not_ready: 1}",
            "ready_file.not_ready: the number of ready",
        ),
        (
            "pools: []\nready_file: {path: /run/a, heartbeat: 1ms}",
            "ready_file.heartbeat: at least 10ms",
        ),
    ] {
        let problem = problem(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    // The place in the file.
    assert!(
        problem("pools: []\nmax_ports: many").contains("line 2"),
        "{}",
        problem("pools: []\nmax_ports: many")
    );
}

#[test]
fn a_replica_without_an_identity_has_the_name_of_its_machine() {
    let config = Config::parse(&format!("{SMALLEST}\nlease: {{namespace: kube-lb}}")).unwrap();
    let lease = config.lease.unwrap();
    assert!(
        lease
            .identity
            .ends_with(&format!("_{}", std::process::id()))
    );
    assert_eq!(lease.name, "kube-lb");
}
