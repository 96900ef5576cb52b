//! Whatever happens, over HTTP: what is followed comes to what a fresh list says.

use lb_core::{Rng, SplitMix64};
use serde_json::Value;

use crate::api_server::Fault;
use crate::objects::{endpoint, slice, with_condition};
use crate::sources::{Api, run};

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
async fn any_sequence_of_events_comes_to_the_final_list() {
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
                // The last one stays, so that there always is a Service.
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
