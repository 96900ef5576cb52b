//! Models of clients and backends.

mod arrivals;
mod clients;
mod distribution;
mod host;
mod random;

pub(crate) use arrivals::Arriving;
pub(crate) use clients::{Population, shuffle};
pub(crate) use distribution::Draw;
pub(crate) use host::Host;
pub(crate) use random::{Stream, unit};
