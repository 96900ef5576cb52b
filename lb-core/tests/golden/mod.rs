//! Picks compared with recordings of a real nginx. The Python scripts of this folder make the recordings.

mod failover_order;
mod hash;
mod least_time;
mod order;
mod recording;
mod rounds;
