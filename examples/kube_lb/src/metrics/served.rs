//! The names of what is served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::addresses::{Owner, OwnerKind};
use crate::objects::ObjectName;
use crate::plan::RouteName;

/// What is served at one moment, with the names of the objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServedNames {
    pub(crate) listeners: Vec<ServedListener>,
    pub(crate) upstreams: Vec<ServedUpstream>,
    /// How many there are, by what they are about.
    pub(crate) problems: BTreeMap<&'static str, usize>,
}

/// An address and port.
#[derive(Clone, Debug)]
pub(crate) struct ServedListener {
    pub(crate) addr: SocketAddr,
    pub(crate) owner: Owner,
    /// The port of a Service, or the listener of a Gateway.
    pub(crate) part: String,
    pub(crate) routes: Vec<RouteName>,
    /// Whether the machine could not listen there.
    pub(crate) is_refused: bool,
}

/// A pool of backends.
#[derive(Clone, Debug)]
pub(crate) struct ServedUpstream {
    pub(crate) name: Arc<str>,
    pub(crate) service: ObjectName,
    pub(crate) port: u16,
}

/// The kind of an owner, as the value of a label.
pub(super) const fn kind(owner: &Owner) -> &'static str {
    match owner.kind {
        OwnerKind::Service => "Service",
        OwnerKind::Gateway => "Gateway",
    }
}
