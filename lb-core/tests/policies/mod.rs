//! Properties of single policies beyond the contract.

mod hashing;
mod recompile;
mod replicas;
mod simulation;
mod world;
