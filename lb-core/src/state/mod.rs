//! What is remembered of one backend, word by word.

pub(crate) mod backend_state;
pub(crate) mod connect_average;
pub(crate) mod damping;
pub(crate) mod fail_limit;
pub(crate) mod health;
pub(crate) mod outlier;
pub(crate) mod peak_ewma;
pub(crate) mod standing;
