//! The binary as a process: its command line, its signals, and the article's scenario over real sockets and DNS.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accepting;
mod access_log;
mod admin;
mod command_line;
mod daemon;
mod dns_chaos;
mod drain;
mod empty_stream;
mod endings;
mod failures;
mod half_close;
mod hash;
mod health_checks;
mod held_start;
mod hung_files;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod limits;
mod listen;
mod logs;
mod monitoring;
mod names;
mod operator;
mod promtool;
mod proxy;
mod proxy_protocol;
mod readiness;
mod reload;
mod replicas;
mod routing;
mod scenario;
mod send_signal;
mod sent_headers;
mod server_names;
mod service;
mod signals;
mod sockets;
mod state;
mod supervise;
mod test_config;
mod thread_limit;
mod unix;
mod upgrade;
mod user;
mod variables;
