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
    assert_eq!(config.clusters, [ClusterPlace::default()]);
    assert_eq!(config.stale_after, Duration::from_secs(30));
    assert_eq!(config.state, None);
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
        ("pools: []\nstale_after: 1d", "stale_after: \"1d\""),
        (
            "pools: []\nstate: {file: /a, interval: 0s}",
            "state.interval: \"0s\"",
        ),
        (
            "pools: []\nstate: {file: /a, max_age: x}",
            "state.max_age: \"x\"",
        ),
        ("pools: []\nclusters: []", "clusters: at least one"),
        (
            "pools: []\nclusters: [{name: a}]\ncluster: {}",
            "write one of them",
        ),
        (
            "pools: []\nclusters: [{name: a}, {name: a}]",
            "two clusters have the name a",
        ),
        ("pools: []\nclusters: [{name: A}]", "\"A\" is no name"),
        (
            "pools: []\nclusters: [{name: a, weight: 1}, {name: b}]",
            "clusters of priority 0 some have a weight",
        ),
        (
            "pools: []\nclusters: [{name: a, networks: []}]",
            "the networks of a are empty",
        ),
        (
            "pools: []\nclusters: [{name: a, networks: [10.0.0.1/8]}]",
            "\"10.0.0.1/8\" is no network",
        ),
        ("pools: []\nclusters: [{name: a, priority: 256}]", "256"),
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

#[test]
fn the_first_of_several_clusters_is_the_primary() {
    let text = format!(
        "{SMALLEST}\nclusters:\n\
         - {{name: west, kubeconfig: /etc/west, weight: 70}}\n\
         - {{name: east, kubeconfig: /etc/east, context: admin, weight: 30, networks: [10.2.0.0/16]}}\n\
         - {{name: spare, kubeconfig: /etc/spare, priority: 1}}\n\
         stale_after: 1m\nstate: {{file: /var/lib/kube_lb/state.json, max_age: 48h}}"
    );
    let config = Config::parse(&text).unwrap();
    let names = config.clusters.iter().map(|cluster| &*cluster.name);
    assert_eq!(names.collect::<Vec<_>>(), ["west", "east", "spare"]);
    assert_eq!(config.primary().name, "west");
    let east = &config.clusters[1];
    assert_eq!((east.priority, east.weight), (0, Some(30)));
    assert_eq!(east.networks.as_ref().unwrap().len(), 1);
    assert_eq!(
        (config.clusters[2].priority, config.clusters[2].weight),
        (1, None)
    );
    let state = config.state.clone().unwrap();
    assert_eq!(state.interval, Duration::from_secs(30));
    assert_eq!(state.max_age, Some(Duration::from_secs(48 * 3600)));

    // A reload takes over what it can.
    let mut new = config.clone();
    new.clusters.remove(1);
    new.max_ports = 7;
    assert_eq!(config.fixed_differences(&new), [""; 0]);
    new.clusters.swap(0, 1);
    new.workers = Some(3);
    assert_eq!(
        config.fixed_differences(&new),
        ["the primary cluster", "workers"]
    );
    let taken = new.with_fixed_of(&config);
    assert_eq!((taken.workers, taken.max_ports), (None, 7));
    assert_eq!(taken.primary().kubeconfig, config.primary().kubeconfig);
}
