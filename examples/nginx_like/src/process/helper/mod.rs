//! The helper process: keeps the superuser's rights to files after the server has switched to another user.
//!
//! The server gives up root, but at SIGHUP it must read a configuration that perhaps only root may read, at SIGUSR1 make
//! a log in a directory of root's, and at the end remove its pid file. Where nginx has its master process, nginx_like
//! starts itself a second time before it gives up root. That process stays root, keeps only the capabilities that concern
//! files, serves nothing, and answers these requests:
//!
//! - read the configuration of the command line again. The answer is a [`Recording`] of the files, so that the server
//!   parses it without opening a file;
//! - open a log or a pid file, if a configuration names it which the helper has read, and no link on the way belongs to
//!   the user of the server;
//! - open a unix domain socket of a `listen`, on the same conditions, and remove its file;
//! - open the token file of `lb_admin` to read it, on the same conditions;
//! - write the server's id to a pid file that it has opened, rename it to `.oldbin` and back, or remove it;
//! - at SIGUSR2, start the file of the command line as a new binary, which begins as the superuser, and end it if it does not start.
//!
//! Each request has a thread and a socket for its answer, so that a request that hangs on a file does not delay the next.
//!
//! A server that was taken over can make the helper do nothing that the superuser's configuration does not say. The two
//! share a pair of sockets. The helper ends when the server's socket is closed, whatever ended the server.
//!
//! [`Recording`]: crate::syntax::recording::Recording

pub(crate) mod client;
mod open_files;
pub(crate) mod server;
pub(crate) mod sockets;
mod upgrade;
mod wire;
