//! Properties of single policies beyond the contract.

mod hashing;
mod simulation;
mod world;
