//! The balancer and its settings, feature by feature.

mod explain;
mod inputs;
mod lifecycle;
mod loads;
mod memory;
mod outages;
mod outliers;
mod priorities;
mod slow_start;
mod survival;
mod threads;
mod updates;
mod zones;
