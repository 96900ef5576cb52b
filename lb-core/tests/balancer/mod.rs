//! The balancer and its settings, feature by feature.

mod all_ejected;
mod explain;
mod fail_limits;
mod inputs;
mod lifecycle;
mod loads;
mod memory;
mod outages;
mod outliers;
mod panics;
mod priorities;
mod slow_start;
mod survival;
mod threads;
mod updates;
mod zones;
