//! Whether Gateways and ListenerSets are accepted.

use super::api::gateway::GatewayAddress;
use super::classes::OwnClasses;
use super::listener::GatewayListener;
use super::view::{GatewayView, SetView, View};

/// Whether an object is accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Acceptance {
    /// It is. The text, if there is one, says which of its listeners are not.
    Accepted(Option<String>),
    /// It is not: the reason of the API, and a text.
    Rejected(&'static str, String),
}

impl Acceptance {
    pub(crate) const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// By its listeners: one that is accepted is enough.
    fn by_listeners<'a>(listeners: impl Iterator<Item = &'a GatewayListener<'a>> + Clone) -> Self {
        let rejected = listeners.clone().filter_map(|listener| {
            let (_, text) = listener.rejection()?;
            Some(format!("{}: {text}", listener.spec.name))
        });
        let rejected: Vec<String> = rejected.collect();
        let text = rejected.join("; ");
        if rejected.len() == listeners.count() {
            Self::Rejected(
                "ListenersNotValid",
                format!("no listener is accepted. {text}"),
            )
        } else {
            Self::Accepted((!rejected.is_empty()).then_some(text))
        }
    }
}

/// Whether a Gateway is accepted.
pub(crate) fn gateway_acceptance(
    gateway: &GatewayView<'_>,
    view: &View<'_>,
    classes: &OwnClasses<'_>,
) -> Acceptance {
    let spec = &gateway.object.spec;
    if let Some(Some(why)) = classes.get(&*spec.gateway_class_name) {
        let text = format!(
            "the GatewayClass {} is not accepted: {why}",
            spec.gateway_class_name
        );
        return Acceptance::Rejected("InvalidParameters", text);
    }
    if let Some(parameters) = &spec.infrastructure.parameters_ref {
        let (kind, name) = (&parameters.kind, &parameters.name);
        let text =
            format!("this controller has no parameters: remove the parametersRef to {kind} {name}");
        return Acceptance::Rejected("InvalidParameters", text);
    }
    let mut addresses = spec.addresses.iter();
    if let Some(address) = addresses.find(|address| !is_ip(address)) {
        let type_ = address.type_.as_deref().unwrap_or_default();
        let text = format!("addresses of the type {type_} are not supported: use IPAddress");
        return Acceptance::Rejected("UnsupportedAddress", text);
    }
    Acceptance::by_listeners(view.listeners[gateway.listeners.clone()].iter())
}

fn is_ip(address: &GatewayAddress) -> bool {
    address
        .type_
        .as_deref()
        .is_none_or(|type_| type_ == "IPAddress")
}

/// Whether a ListenerSet is accepted by its Gateway, which is accepted itself or not.
pub(crate) fn set_acceptance(
    set: &SetView<'_>,
    view: &View<'_>,
    gateway: &Acceptance,
) -> Acceptance {
    if !set.is_allowed {
        let text = "allowedListeners of the Gateway do not admit ListenerSets of this namespace";
        return Acceptance::Rejected("NotAllowed", text.to_owned());
    }
    if !gateway.is_accepted() {
        let text = "the Gateway is not accepted".to_owned();
        return Acceptance::Rejected("ParentNotAccepted", text);
    }
    Acceptance::by_listeners(view.listeners[set.listeners.clone()].iter())
}
