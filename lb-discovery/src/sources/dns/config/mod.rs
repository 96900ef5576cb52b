//! The configuration of lookups: name servers, search domains and hosts, given or from the system's files.

pub(crate) mod hosts;
pub(crate) mod lookup_config;
pub(crate) mod resolv_conf;
pub(crate) mod system_files;
