//! The statuses of the objects.
//!
//! A status is read, changed and written with the version that was read, because lists in it (the parents of a route above all)
//! have entries of other controllers, which a forced apply would drop.

mod class;
mod gateway;
mod listener;
mod listener_set;
mod patch;
mod policy;
mod route;

pub(crate) use patch::StatusPatch;

use super::evaluation::{Evaluation, Grants};
use crate::services::Feedback;

/// What the statuses depend on besides the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusContext<'a> {
    pub(crate) grants: &'a Grants,
    pub(crate) feedback: &'a Feedback,
    /// As the API writes times.
    pub(crate) now: &'a str,
}

impl Evaluation<'_> {
    /// The statuses that differ from those that the objects have.
    pub(crate) fn patches(&self, context: StatusContext<'_>) -> Vec<StatusPatch> {
        let classes = self.class_patches(context);
        let gateways = self.gateway_patches(context);
        let sets = self.listener_set_patches(context);
        let routes = self.route_patches(context);
        let policies = self.policy_patches(context);
        [classes, gateways, sets, routes, policies].concat()
    }
}
