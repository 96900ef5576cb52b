//! The operator's command line: subcommands that ask and steer a server over HTTP to its `lb_admin`.
//!
//! | exit code | |
//! |---|---|
//! | 0 | the answer is as asked |
//! | 1 | it is not: the server is not ready, replicas differ, there is no such upstream, backend or session |
//! | 2 | the command line, the address or the token file is wrong |
//! | 3 | the server cannot be reached, or does not answer as an admin server |
//! | 4 | the server, or the permissions of its socket, refuse the request |

mod answers;
pub(crate) mod check_notes;
mod client;
pub(crate) mod commands;
pub(crate) mod error;
mod explain_view;
mod output;
mod replicas;
mod server_options;
mod status_view;
mod table;
mod target;
mod units;
