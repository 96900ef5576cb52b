//! Two balancers without a single point of failure: keepalived and BIRD in network namespaces, with the configurations of
//! `ha`. Each test is a fault. `.ci/ha` installs what they need; without root or a package they are skipped.
//!
//! `LB_TEST_HA=10` runs each fault ten times and compares the medians with the figures to reach.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(target_os = "linux")]

mod addresses;
mod backends;
mod balancer;
mod bgp;
mod bird;
mod client;
mod configurations;
mod cut_off;
mod echo;
mod figures;
mod keepalived;
mod lan;
mod observer;
mod output;
mod process;
mod requirements;
mod sessions;
mod vrrp;
