//! Properties of single policies beyond the contract.

mod hashing;
mod replicas;
mod simulation;
mod world;
