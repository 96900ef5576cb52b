//! A TCP load balancer that reads nginx `stream` configurations.
//!
//! This crate is an example of how the crates of the workspace make a server. Its README lists the differences from
//! nginx. The binary is [`main`] and nothing else.
//!
//! # Layers
//!
//! Imports go downward only.
//!
//! 1. `cli` reads the arguments and decides what to do. `operator` has the subcommands, which ask and steer a server over HTTP.
//!    `supervisor` has `supervise`, which starts the program itself. `demo` is what runs without arguments.
//! 2. `process` is the server as a process: `run` opens logs, gives up privileges, opens sockets, and serves until a
//!    signal comes; `reload` applies the configuration again on SIGHUP, on the thread of `control`; `files` opens files,
//!    through `helper` if that takes privileges that were given up; `send_signal` is `-s`.
//! 3. `build` makes the descriptions of lb-proxy from a configuration.
//! 4. `session_log` writes the lines of the access log and the error log about sessions. `withdrawal` runs the command that a
//!    shutdown waits for.
//! 5. `config` has the directives, one file for each module of nginx.
//! 6. `variables` has the values of texts with variables, for a session.
//! 7. `syntax` reads words, statements, blocks and includes, and imports no directive. `logs` has queues and threads for
//!    lines, their form and their levels, and imports nothing of sessions.

mod build;
mod cli;
mod config;
mod console;
mod demo;
mod host_name;
mod local_time;
mod logs;
mod operator;
mod process;
mod session_log;
mod supervisor;
mod syntax;
mod variables;
mod version;
mod withdrawal;

pub use cli::main;

/// The examples of the repository's README have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
