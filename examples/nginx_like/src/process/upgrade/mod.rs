//! SIGUSR2: the process starts a new binary and hands its listening sockets over, as nginx does.
//!
//! - The old process starts the file of its own name with its own arguments ([`invocation`]) and a unix socket as standard input.
//!   With `user`, the helper starts it, because the new process begins as the superuser. [`successor`] is the new process as
//!   the old one sees it.
//! - The old process sends a duplicate of each listening socket, that of `lb_admin` too ([`message`]). Each socket says itself
//!   which address it has. The pid file is renamed to `.oldbin` before.
//! - The new process ([`predecessor`]) binds what it did not receive, waits for the first membership of every upstream, accepts, and
//!   sends [`READY`](message::READY). The old process then leaves `lb_admin`, the readiness file and the files of unix sockets to
//!   it, and answers [`COMMITTED`](message::COMMITTED), upon which the new process writes its pid file.
//! - Both serve until signals say otherwise: SIGWINCH pauses the old process, SIGHUP ends the pause, SIGQUIT ends either process.
//!   The socket stays open, and the process that begins to end shuts it down. If that is the new one, the old one takes back the
//!   readiness file and `lb_admin` and accepts again, and at its end the pid file, unless it drains itself. If that is the old one,
//!   the new process may be upgraded itself.
//!
//! [`upgrader`] is the old process's side on the control thread, [`request`] that of the command `upgrade`.

pub(crate) mod invocation;
mod message;
pub(crate) mod neighbours;
pub(crate) mod predecessor;
pub(crate) mod ready_successor;
pub(crate) mod request;
pub(crate) mod successor;
pub(crate) mod upgrader;
mod watch;
