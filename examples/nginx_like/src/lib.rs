//! A TCP load balancer that reads nginx `stream` configurations.
//!
//! This crate is an example of how the crates of the workspace make a server. It stays close to what nginx does, so
//! that a configuration of nginx can be taken as it is: [`config`] reads it and says where the two differ.
//!
//! The binary is [`main`] and nothing else. From the command line to the sockets:
//!
//! 1. `cli` reads the arguments and decides what is to be done;
//! 2. [`config`] reads the configuration;
//! 3. `assemble` makes a [`lb_proxy::Proxy`] of it;
//! 4. `run` opens logs, gives up privileges, opens sockets, and serves until a signal comes; `reload` goes
//!    through 2 and 3 again on SIGHUP, in the thread of `control`. `files` opens what these need, by `helper` where it
//!    takes the privileges that were given up.
//!
//! With `-s`, `signal` takes the place of 3 and 4. Without arguments `demo` takes the place of 2 and 3.

mod build;
mod cli;
pub mod config;
mod console;
mod demo;
mod error;
mod process;
mod syntax;

pub use cli::main;
