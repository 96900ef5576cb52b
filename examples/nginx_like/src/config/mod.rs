//! The configuration: nginx's `stream` language, with a few directives of our own.
//!
//! [`Config::load`](main::Config::load) reads a file and all that it includes. The result is checked and complete:
//! defaults and inheritance are applied, and names of upstreams are resolved to upstreams. Host names are not looked up.
//! The README beside this crate says where nginx_like and nginx differ.
//!
//! # To add a directive
//!
//! The directives of one module of nginx are one file here, named as the module: its values, its table, its errors.
//!
//! - A directive that sets one value: add a line to the `settings!` of its file ([`proxy`], [`stream_core`],
//!   [`ssl_preread`]).
//! - Any other directive: add a line to the table of its file: the name, the number of its arguments, and a closure that
//!   reads the statement into the block.
//! - A new module: add a file, and its group to [`server_settings`] if `server` and `stream` blocks allow it.
//!
//! Then remove it from [`unsupported`], show it in `conf/all.conf`, use its value in `build`, and write `COVERAGE.md` again:
//! `LB_WRITE_COVERAGE=1 cargo test -p nginx_like --lib coverage`.
//!
//! # Layers
//!
//! The groups of directives and the blocks ([`main`], [`events`], [`stream`], [`server`], [`upstream`], [`map`]) hold the
//! values as written. [`resolve`] computes the complete values. [`load`] does both for a file.

pub(crate) mod access;
pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod error_log;
pub(crate) mod events;
mod geo;
pub(crate) mod handler;
pub(crate) mod health_check;
pub(crate) mod hint;
pub(crate) mod known;
pub(crate) mod limit_conn;
pub(crate) mod listen;
mod load;
pub(crate) mod log_format;
mod look_up;
mod low_bits;
pub(crate) mod main;
mod map;
mod match_block;
pub(crate) mod name_table;
pub(crate) mod overrides;
pub(crate) mod pass;
pub(crate) mod pid;
pub(crate) mod proxy;
mod proxy_pass;
pub(crate) mod ready_file;
pub(crate) mod realip;
mod resolve;
pub(crate) mod resolver;
mod secrets;
pub(crate) mod server;
mod server_name;
pub(crate) mod server_settings;
mod set;
mod settings;
pub(crate) mod shutdown;
mod split_clients;
pub(crate) mod ssl_preread;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod stream_core;
mod syslog;
#[cfg(test)]
mod tests;
mod time_out;
mod tls;
pub(crate) mod transfer_rate;
mod unsupported;
pub(crate) mod upstream;
mod zone;
