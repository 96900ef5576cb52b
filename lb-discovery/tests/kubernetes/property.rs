//! After any sequence of events over HTTP, the set is that of a fresh list.

use std::time::Duration;

use lb_core::{Rng, SplitMix64};
use lb_discovery::kubernetes::EndpointSlices;
use serde_json::{Value, json};

use crate::sources::{Api, run};
use test_support::kubernetes::Fault;
use test_support::kubernetes::objects::{endpoint, inner_service, slice, with_condition};

/// A slice with endpoints at random, in random conditions.
fn random_slice(name: &str, rng: &mut SplitMix64) -> Value {
    let count = rng.next_u64() % 4;
    let endpoints = (0..count).map(|_| {
        let draw = rng.next_u64();
        let host = format!("10.0.0.{}", draw % 9);
        let bit = |n: u64| draw >> (8 + n) & 1 == 1;
        with_condition(endpoint(&host, &host), bit(0), bit(1), bit(2))
    });
    slice(name, &endpoints.collect::<Vec<_>>())
}

#[tokio::test]
async fn any_sequence_of_events_ends_with_the_final_list() {
    for seed in 0..4 {
        let mut rng = SplitMix64::new(seed);
        let api = Api::start().await;
        api.server
            .put("endpointslices", random_slice("echo-0", &mut rng));
        let mut running = run(api.slices());
        let mut exists = [true, false, false, false];
        for _ in 0..60 {
            let draw = rng.next_u64();
            let number = (draw >> 8) as usize % exists.len();
            let name = format!("echo-{number}");
            match draw % 16 {
                0 => api.server.compact(),
                1 => api.server.end_watches(),
                2 => api.server.fault(Fault::CutWatch),
                // The last one stays, so that there is always a Service.
                3..=5 if exists[number] && number != 0 => {
                    api.server.delete("endpointslices", "default", &name);
                    exists[number] = false;
                }
                _ => {
                    api.server
                        .put("endpointslices", random_slice(&name, &mut rng));
                    exists[number] = true;
                }
            }
            tokio::task::yield_now().await;
        }
        api.server.fault(Fault::None);
        let wanted = run(api.slices()).next().await;
        while running.next().await != wanted {}
    }
}

/// A Service with backends, or one of those without.
fn random_service(rng: &mut SplitMix64) -> Value {
    let mut service = inner_service();
    match rng.next_u64() % 6 {
        0 => service["spec"]["type"] = json!("ExternalName"),
        1 => service["spec"]["ports"][0]["name"] = json!("renamed"),
        2 => service["spec"]["ports"] = json!([]),
        _ => {}
    }
    service
}

#[tokio::test]
async fn any_sequence_with_services_and_backups_ends_with_the_final_list() {
    for seed in 0..4 {
        let mut rng = SplitMix64::new(seed);
        let api = Api::start().await;
        api.server.bookmark_every(Duration::from_millis(100));
        let source = || {
            let second = Duration::from_secs(1);
            let cluster = api.cluster().watch_timeout(second);
            EndpointSlices::try_new(cluster.relist_interval(second), "default", "echo").unwrap()
        };
        let mut running = run(source());
        let mut backup = api.server.backup();
        let mut has_service = true;
        for _ in 0..60 {
            let draw = rng.next_u64();
            match draw % 12 {
                0 if has_service => {
                    api.server.delete("services", "default", "echo");
                    has_service = false;
                }
                0..3 => {
                    api.server.put("services", random_service(&mut rng));
                    has_service = true;
                }
                3 if has_service => backup = api.server.backup(),
                4 => {
                    // A server that keeps running, or one that is restarted.
                    match draw >> 8 & 1 {
                        0 => api.server.restore(&backup),
                        _ => api.server.restore_under_watch(&backup),
                    }
                    has_service = true;
                }
                _ => {
                    let name = format!("echo-{}", (draw >> 8) % 3);
                    let slice = random_slice(&name, &mut rng);
                    api.server.put("endpointslices", slice);
                }
            }
            // Some changes then meet a list, some a watch and some neither.
            tokio::time::sleep(Duration::from_millis(draw >> 16 & 31)).await;
        }
        let wanted = run(source()).next().await;
        while running.next().await != wanted {}
    }
}
