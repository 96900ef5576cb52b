//! The laboratory: scenario files, simulations, the page, the command line.

#![allow(clippy::unwrap_used)] // clippy exempts the tests themselves, not their helpers

mod command_line;
mod keys;
mod page;
mod picture;
mod scenarios;
mod settings;
mod simulation;
mod support;
mod variants;
