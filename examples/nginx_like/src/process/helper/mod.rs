//! The helper process: what is left of the superuser once the server has become another user.
//!
//! The server gives up root, but at SIGHUP it must read a configuration that perhaps only root may read, at SIGUSR1 make
//! a log in a directory of root's, and at the end remove its pid file. Where nginx has its master process, nginx_like
//! starts itself once more before it gives up root. That process stays root, keeps only the capabilities that concern
//! files, serves nothing, and knows these requests:
//!
//! - read the configuration of the command line again. The answer is what reading it brought ([`Recording`]), so that the
//!   server parses it anew without opening a file;
//! - open a log or a pid file: only those that a configuration names which the helper has read, and not through a link
//!   that belongs to the user of the server;
//! - write the server's id to a pid file that it has opened, or remove that file.
//!
//! Each request has a thread and a socket for its answer, so that one that hangs on a file does not delay the next.
//!
//! So a server that was taken over can make the helper do nothing that the superuser's configuration does not say. The
//! two share a pair of sockets, and the helper ends when the server's is closed, whatever ended the server.
//!
//! [`Recording`]: crate::syntax::recording::Recording

pub(crate) mod client;
pub(crate) mod server;
mod wire;
