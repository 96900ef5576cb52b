//! The controller and its proxy against an API server in the process, on loopback addresses.

#![allow(clippy::print_stdout, reason = "figures and seeds of a run")]
#![allow(clippy::unwrap_used)]

mod any_ip;
mod article;
mod command_line;
mod faults;
mod gateway;
mod hostile;
mod leader;
mod operations;
mod permissions;
mod random;
mod rivals;
mod several;
mod state;
mod status;
mod support;
mod traffic;
