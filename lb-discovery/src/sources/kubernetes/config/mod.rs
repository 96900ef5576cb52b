//! Access to a cluster: kubeconfigs, service accounts, proxies and credentials.

pub(crate) mod credential_source;
pub(crate) mod credentials;
mod exec_plugin;
mod exec_process;
pub(crate) mod kubeconfig;
mod proxy;
mod redacted;
