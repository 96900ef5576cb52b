//! All that follows from the objects alone.

use std::collections::BTreeMap;

use super::acceptance::{Acceptance, gateway_acceptance, set_acceptance};
use super::address;
use super::attach::{Route, attach};
use super::classes::{OwnClasses, own_classes};
use super::listener::{GatewayListener, ListenerOwner};
use super::objects::{GatewayObjects, Services};
use super::policy::attach::AttachedPolicies;
use super::policy::settings::ReadPolicies;
use super::serving::{Serving, serve};
use super::view::View;
use crate::addresses::{AddressRequest, Grant, Owner, Pools};

/// What the objects of one moment mean: which listeners are accepted, which routes they have, and what is served.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) objects: &'a GatewayObjects,
    /// The name of this controller in classes and statuses.
    pub(crate) controller: &'a str,
    pub(crate) classes: OwnClasses<'a>,
    pub(crate) view: View<'a>,
    /// By the indices of the view.
    pub(crate) gateways: Vec<Acceptance>,
    /// By the indices of the view.
    pub(crate) sets: Vec<Acceptance>,
    pub(crate) routes: Vec<Route<'a>>,
    pub(crate) serving: Serving,
    pub(crate) policies: AttachedPolicies<'a>,
}

/// What the Gateways got of the pools.
pub(crate) type Grants = BTreeMap<Owner, Grant>;

impl<'a> Evaluation<'a> {
    /// Evaluates the objects for the controller `controller`. `policies` are those of the objects, as they were read. `max_ports`: of a
    /// Gateway.
    pub(crate) fn new(
        objects: &'a GatewayObjects,
        services: &Services,
        policies: &'a ReadPolicies,
        controller: &'a str,
        max_ports: usize,
    ) -> Self {
        let classes = own_classes(objects, controller);
        let view = View::new(objects, &classes, max_ports);
        let gateways = view.gateways.iter();
        let gateways: Vec<_> = gateways
            .map(|gateway| gateway_acceptance(gateway, &view, &classes))
            .collect();
        let sets = view.sets.iter();
        let sets = sets
            .map(|set| set_acceptance(set, &view, &gateways[set.gateway]))
            .collect();
        let routes = attach(objects, services, &view);
        let serving = serve(&view, &routes);
        let policies =
            AttachedPolicies::new(&objects.policies, policies, &view, &routes, &serving.ports);
        Self {
            objects,
            controller,
            classes,
            view,
            gateways,
            sets,
            routes,
            serving,
            policies,
        }
    }

    /// What the accepted Gateways ask of the pools.
    pub(crate) fn requests(&self, pools: &Pools) -> Vec<AddressRequest> {
        let gateways = self.view.gateways.iter().zip(&self.gateways);
        let accepted = gateways.filter(|(_, acceptance)| acceptance.is_accepted());
        accepted
            .map(|(gateway, _)| address::request(gateway, &self.view, pools))
            .collect()
    }

    /// What the Gateway with this index got. `None`: it is not accepted.
    pub(crate) fn grant<'g>(&self, gateway: usize, grants: &'g Grants) -> Option<&'g Grant> {
        let owner = address::owner(&self.view.gateways[gateway]);
        let is_accepted = self.gateways[gateway].is_accepted();
        grants.get(&owner).filter(|_| is_accepted)
    }

    /// Whether the object of a listener is accepted.
    pub(crate) fn owner_is_accepted(&self, listener: &GatewayListener<'_>) -> bool {
        match listener.owner {
            ListenerOwner::Gateway => self.gateways[listener.gateway].is_accepted(),
            ListenerOwner::Set(set) => self.sets[set].is_accepted(),
        }
    }
}
