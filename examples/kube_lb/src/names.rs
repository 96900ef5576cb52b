//! The names by which objects of the cluster refer to this program.

/// The prefix of annotations and condition types, and the domain of classes. `.internal` is reserved for private use: no other
/// project owns it.
pub const DOMAIN: &str = "kube-lb.internal";

/// The label of a Service, with the value `true`, that is fed by the Services of its name in all clusters that have it as well.
pub const GLOBAL: &str = "kube-lb.internal/global";

/// The default `loadBalancerClass`.
pub const CLASS: &str = "kube-lb.internal/tcp";

/// The default `controllerName` of GatewayClasses.
pub const GATEWAY_CONTROLLER: &str = "kube-lb.internal/gateway";

/// The field manager of everything that the program writes.
pub const FIELD_MANAGER: &str = "kube-lb";

/// The finalizer of a Service that a load balancer serves, which all controllers share.
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// `text` with the domain in front: an annotation, a condition type or an error of a port.
pub fn qualified(text: &str) -> String {
    format!("{DOMAIN}/{text}")
}
