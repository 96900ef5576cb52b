//! Picks compared with recordings of a real nginx. The Python scripts of this folder make the recordings.

mod hash;
mod order;
mod recording;
mod rounds;
