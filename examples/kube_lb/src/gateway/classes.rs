//! GatewayClasses: which Gateways are this controller's.

use std::collections::BTreeMap;

use super::api::GatewayClass;
use super::condition::Reported;
use super::objects::GatewayObjects;

/// The release of Gateway API that this controller knows, as the definitions of its kinds name it: any patch of 1.6.
const SUPPORTED_RELEASE: &str = "v1.6.";

/// What is supported beyond the core, by the names of the conformance suite, sorted.
pub(crate) const FEATURES: [&str; 8] = [
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
];

/// The classes of this controller, by name. The value is why a class is rejected.
pub(crate) type OwnClasses<'a> = BTreeMap<&'a str, Option<String>>;

/// The classes that name `controller`.
pub(crate) fn own_classes<'a>(objects: &'a GatewayObjects, controller: &str) -> OwnClasses<'a> {
    let classes = objects.classes.values();
    let own = classes.filter(|class| class.spec.controller_name == controller);
    own.map(|class| (&*class.metadata.name, rejection(class)))
        .collect()
}

fn rejection(class: &GatewayClass) -> Option<String> {
    let parameters = class.spec.parameters_ref.as_ref()?;
    let (kind, name) = (&parameters.kind, &parameters.name);
    Some(format!(
        "this controller has no parameters: remove the parametersRef to {kind} {name}"
    ))
}

/// The conditions of a class.
pub(crate) fn class_reports(class: &GatewayClass, objects: &GatewayObjects) -> Vec<Reported> {
    let accepted = match rejection(class) {
        None => Reported::yes("Accepted", "Accepted"),
        Some(text) => Reported::no("Accepted", "InvalidParameters", text),
    };
    vec![accepted, supported_version(&objects.releases)]
}

/// Compares the releases that the definitions of the kinds name.
fn supported_version(releases: &BTreeMap<String, Option<String>>) -> Reported {
    let is_known = |release: &Option<String>| {
        let release = release.as_deref();
        release.is_some_and(|release| release.starts_with(SUPPORTED_RELEASE))
    };
    let unknown = releases.iter().filter(|(_, release)| !is_known(release));
    let unknown: Vec<String> = unknown
        .map(|(definition, release)| {
            let release = release.as_deref().unwrap_or("no release");
            format!("{definition} has {release}")
        })
        .collect();
    if !releases.is_empty() && unknown.is_empty() {
        return Reported::yes("SupportedVersion", "SupportedVersion");
    }
    let found = match unknown.is_empty() {
        true => "no definition could be read".to_owned(),
        false => unknown.join(", "),
    };
    let text = format!("{SUPPORTED_RELEASE}x of Gateway API is supported: {found}");
    Reported::no("SupportedVersion", "UnsupportedVersion", text)
}
