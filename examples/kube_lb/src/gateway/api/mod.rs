//! The objects of Gateway API 1.6, as far as they are read, and the statuses that are written.
//!
//! The types are our own, because the bindings of kube-rs (`gateway-api` 0.22) have no TCPRoute v1, and need another version of
//! kube and a newer compiler than this workspace. Fields that are not read are left out and ignored.

pub(crate) mod class;
pub(crate) mod gateway;
pub(crate) mod grant;
pub(crate) mod kind;
pub(crate) mod listener_set;
pub(crate) mod namespace;
pub(crate) mod route;
pub(crate) mod selector;

pub(crate) use class::GatewayClass;
pub(crate) use gateway::Gateway;
pub(crate) use grant::ReferenceGrant;
pub(crate) use kind::{GROUP, GatewayKind};
pub(crate) use listener_set::ListenerSet;
pub(crate) use route::{TcpRoute, TlsRoute};
