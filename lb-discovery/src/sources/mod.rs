//! The sources of backends, one module each.

#[cfg(feature = "dns")]
pub(crate) mod dns;
#[cfg(feature = "file")]
pub(crate) mod file;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub(crate) mod manual;
pub(crate) mod polled;
pub(crate) mod static_list;
#[cfg(feature = "system-dns")]
pub(crate) mod system_dns;
