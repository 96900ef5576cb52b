//! Listeners: the description, the sockets, the accept loop.

mod accept_loop;
pub(crate) mod address_guard;
pub(crate) mod bind;
mod client_settings;
pub(crate) mod covered;
pub(crate) mod description;
pub(crate) mod inheritable;
mod open;
pub(crate) mod running;
mod session_settings;
mod socket_settings;
pub(crate) mod sockets;

pub use description::Listener;
