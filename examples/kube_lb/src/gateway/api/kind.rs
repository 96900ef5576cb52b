//! The paths of the kinds in the API.

use lb_discovery::kubernetes::controller::Collection;

/// The API group of all kinds.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// The path of the group and its version.
pub(crate) const API: &str = "/apis/gateway.networking.k8s.io/v1";

/// A kind of Gateway API v1.
pub(crate) trait GatewayKind {
    /// Its plural name, as in paths.
    const PLURAL: &'static str;

    /// Its name, as in objects.
    const KIND: &'static str;

    /// All objects of the kind.
    fn collection() -> Collection {
        Collection::new(API, Self::PLURAL)
    }
}

/// Makes a type a kind whose objects a watch follows. Annotations and labels of the objects are not kept.
macro_rules! kind {
    ($type:ty, $kind:literal, $plural:literal, $($metadata:tt).+) => {
        impl $crate::gateway::api::kind::GatewayKind for $type {
            const PLURAL: &'static str = $plural;
            const KIND: &'static str = $kind;
        }

        impl lb_discovery::kubernetes::controller::ApiObject for $type {
            fn metadata(&self) -> &lb_discovery::kubernetes::controller::Metadata {
                &self.$($metadata).+
            }

            fn trim(&mut self) {
                self.$($metadata).+.labels.clear();
                self.$($metadata).+.annotations.clear();
            }
        }
    };
}

pub(crate) use kind;
