//! Builds the descriptions that lb-proxy serves from a configuration.

pub(crate) mod inherited;
pub(crate) mod kept;
pub(crate) mod kubernetes;
pub(crate) mod loops;
pub(crate) mod proxy;
pub(crate) mod resolvers;
pub(crate) mod upstream;
