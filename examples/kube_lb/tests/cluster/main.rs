//! The controller and its proxy against an API server in the process, on loopback addresses.

mod article;
mod command_line;
mod faults;
mod leader;
mod permissions;
mod random;
mod status;
mod support;
mod traffic;
