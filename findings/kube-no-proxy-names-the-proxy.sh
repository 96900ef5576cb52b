#!/usr/bin/env bash
# kube-client 5.0.0 (crates.io), how a kubeconfig and the environment choose a proxy.
#
# Belief:    NO_PROXY lists the hosts that are reached without the proxy, as for kubectl, curl and Go's programs. So with
#            HTTPS_PROXY set, an API server that NO_PROXY names is asked directly.
# Behaviour: NO_PROXY is compared with the host of the proxy itself. An API server that it names is still asked through the
#            proxy; the proxy goes unused only if NO_PROXY names the proxy.
# Output seen (the last lines of this script):
#   NO_PROXY=192.0.2.10: http://198.51.100.5:3128/
#   NO_PROXY=198.51.100.5: no proxy
#
# Needs Rust and its package registry. Sends nothing. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
k8s-openapi = { version = "0.29", features = ["earliest"] }
kube-client = { version = "=5.0.0", default-features = false, features = ["config", "http-proxy"] }
tokio = { version = "1", features = ["macros", "rt"] }
TOML
cat >"$dir/src/main.rs" <<'RUST'
use kube_client::config::{KubeConfigOptions, Kubeconfig};

const KUBECONFIG: &str = "
clusters: [{ name: c, cluster: { server: 'https://192.0.2.10:6443' } }]
users: [{ name: u, user: {} }]
contexts: [{ name: x, context: { cluster: c, user: u } }]
current-context: x
";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let kubeconfig = Kubeconfig::from_yaml(KUBECONFIG).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube_client::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    match config.proxy_url {
        Some(url) => println!("{url}"),
        None => println!("no proxy"),
    }
}
RUST
CARGO_TARGET_DIR="$dir/target" cargo build --quiet --manifest-path "$dir/Cargo.toml"
seen=$(for host in 192.0.2.10 198.51.100.5; do
    printf 'NO_PROXY=%s: ' "$host"
    env -u https_proxy -u no_proxy HTTPS_PROXY=http://198.51.100.5:3128 NO_PROXY="$host" "$dir/target/debug/finding"
done)
printf '%s\n' "$seen"
diff <(printf '%s\n' \
    'NO_PROXY=192.0.2.10: http://198.51.100.5:3128/' \
    'NO_PROXY=198.51.100.5: no proxy') <(printf '%s\n' "$seen")
