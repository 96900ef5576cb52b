//! The state of one backend while it is known: a few words, each with its own rules.

pub(crate) mod attempt_failure;
pub(crate) mod backend_state;
pub(crate) mod damping;
pub(crate) mod expectation;
pub(crate) mod failure_record;
mod feedback;
pub(crate) mod health_word;
pub(crate) mod in_flight_ages;
pub(crate) mod index_position;
pub(crate) mod memory;
pub(crate) mod outage;
pub(crate) mod outlier;
pub(crate) mod owner;
pub(crate) mod peak_ewma;
mod recall;
pub(crate) mod response_times;
pub(crate) mod standing;
