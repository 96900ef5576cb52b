//! SIGUSR2: a new binary takes the sockets over from the process that runs.

mod back_out;
mod clients;
mod endings;
mod failures;
mod handover;
mod load;
mod places;
mod request;
pub(crate) mod site;
mod state;
mod versions;
