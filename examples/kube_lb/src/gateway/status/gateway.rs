//! The status of Gateways.

use super::{Reporter, StatusPatch};
use crate::addresses::{Grant, Problem};
use crate::gateway::acceptance::Acceptance;
use crate::gateway::api::Gateway;
use crate::gateway::api::gateway::{GatewayAddress, GatewayStatus};
use crate::gateway::condition::{Reported, merge};
use crate::gateway::view::GatewayView;

const OURS: [&str; 3] = ["Accepted", "Programmed", "ResolvedRefs"];

impl Reporter<'_> {
    pub(super) fn gateway_patches(self) -> Vec<StatusPatch> {
        let gateways = self.evaluation.view.gateways.iter().enumerate();
        gateways
            .filter_map(|(index, gateway)| {
                let object = gateway.object;
                let new = self.gateway_status(index, gateway);
                StatusPatch::of::<Gateway, _>(&object.metadata, &object.status, &new)
            })
            .collect()
    }

    fn gateway_status(self, index: usize, gateway: &GatewayView<'_>) -> GatewayStatus {
        let old = &gateway.object.status;
        let at = self.at(&gateway.object.metadata);
        let listeners = self.listener_statuses(gateway.listeners.clone(), &old.listeners, at);
        let reports = self.gateway_reports(index);
        let evaluation = self.evaluation;
        let grant = evaluation.grant(index, self.grants);
        let addresses = grant.into_iter().flat_map(|grant| &grant.addresses);
        let accepted_sets = gateway
            .sets
            .iter()
            .filter(|&&set| evaluation.sets[set].is_accepted());
        GatewayStatus {
            addresses: addresses
                .map(|ip| GatewayAddress {
                    type_: Some("IPAddress".to_owned()),
                    value: ip.to_string(),
                })
                .collect(),
            attached_listener_sets: i32::try_from(accepted_sets.count()).ok(),
            conditions: merge(&old.conditions, &reports, &OURS, at),
            listeners,
        }
    }

    /// The conditions of the Gateway with this index.
    pub(crate) fn gateway_reports(self, index: usize) -> [Reported; 3] {
        let gateway = &self.evaluation.view.gateways[index];
        [
            accepted(&self.evaluation.gateways[index]),
            self.programmed(index),
            self.resolved(gateway),
        ]
    }

    fn resolved(self, gateway: &GatewayView<'_>) -> Reported {
        let listeners = &self.evaluation.view.listeners[gateway.listeners.clone()];
        let invalid = listeners
            .iter()
            .filter(|listener| !listener.kinds.invalid.is_empty());
        let names: Vec<&str> = invalid.map(|listener| &*listener.spec.name).collect();
        match names.is_empty() {
            true => Reported::yes("ResolvedRefs", "ResolvedRefs"),
            false => {
                let text = format!(
                    "listeners with kinds that they cannot have: {}",
                    names.join(", ")
                );
                Reported::no("ResolvedRefs", "ListenersNotResolved", text)
            }
        }
    }

    /// Whether the Gateway with this index has its addresses and a listener that listens.
    pub(super) fn programmed(self, index: usize) -> Reported {
        let gateway = &self.evaluation.view.gateways[index];
        let grant = self.evaluation.grant(index, self.grants);
        let acceptance = &self.evaluation.gateways[index];
        let is_any_listening = self.is_any_listening(gateway.listeners.clone());
        programmed(gateway, grant, acceptance, is_any_listening)
    }
}

/// The condition `Accepted` of a Gateway or a ListenerSet.
pub(super) fn accepted(acceptance: &Acceptance) -> Reported {
    match acceptance {
        Acceptance::Accepted(None) => Reported::yes("Accepted", "Accepted"),
        Acceptance::Accepted(Some(text)) => {
            let text = format!("some listeners are not accepted. {text}");
            Reported::yes("Accepted", "ListenersNotValid").saying(text)
        }
        Acceptance::Rejected(reason, text) => Reported::no("Accepted", reason, text.clone()),
    }
}

fn programmed(
    gateway: &GatewayView<'_>,
    grant: Option<&Grant>,
    acceptance: &Acceptance,
    is_any_listening: bool,
) -> Reported {
    let no = |reason, text: String| Reported::no("Programmed", reason, text);
    if let Acceptance::Rejected(_, text) = acceptance {
        return no("Invalid", text.clone());
    }
    let Some(grant) = grant else {
        return no(
            "AddressNotAssigned",
            "no address is assigned yet".to_owned(),
        );
    };
    if !grant.problems.is_empty() {
        let texts: Vec<String> = grant.problems.iter().map(ToString::to_string).collect();
        let is_unusable = grant.problems.iter().any(is_about_a_requested_address);
        let reason = if is_unusable {
            "AddressNotUsable"
        } else {
            "AddressNotAssigned"
        };
        return no(reason, texts.join("; "));
    }
    let addresses = &gateway.object.spec.addresses;
    let with_value = addresses
        .iter()
        .filter(|address| !address.value.is_empty())
        .count();
    if (1..addresses.len()).contains(&with_value) {
        let text = "an address without a value is not assigned beside addresses with a value";
        return no("AddressNotAssigned", text.to_owned());
    }
    if grant.addresses.is_empty() {
        return no(
            "AddressNotAssigned",
            "no address is assigned yet".to_owned(),
        );
    }
    match is_any_listening {
        true => Reported::yes("Programmed", "Programmed"),
        false => no(
            "Invalid",
            "no listener is programmed: see their conditions".to_owned(),
        ),
    }
}

fn is_about_a_requested_address(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::NotInPool(_)
            | Problem::OtherPool { .. }
            | Problem::NotAllowed { .. }
            | Problem::AddressTaken { .. }
    )
}
