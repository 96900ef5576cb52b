//! The statuses of the objects.
//!
//! A status is read, changed and written with the version that was read, because lists in it (the parents of a route above all)
//! have entries of other controllers, which a forced apply would drop.

mod class;
mod gateway;
mod listener;
mod listener_set;
mod lists;
mod patch;
mod policy;
mod route;

pub(crate) use lists::reference;
pub(crate) use patch::StatusPatch;

use lb_discovery::kubernetes::controller::Metadata;

use super::condition::ReportTime;
use super::evaluation::{Evaluation, Grants};
use super::listener::GatewayListener;
use super::programming::Programming;
use crate::services::Feedback;

/// What the statuses depend on besides the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusContext<'a> {
    pub(crate) grants: &'a Grants,
    pub(crate) feedback: &'a Feedback,
    /// As the API writes times.
    pub(crate) now: &'a str,
}

/// What all statuses are computed from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter<'a> {
    evaluation: &'a Evaluation<'a>,
    grants: &'a Grants,
    now: &'a str,
    /// By the index of the listener.
    programming: &'a [Programming],
}

impl Evaluation<'_> {
    /// The statuses that differ from those that the objects have.
    pub(crate) fn patches(&self, context: StatusContext<'_>) -> Vec<StatusPatch> {
        self.report(context, |reporter| {
            let classes = reporter.class_patches();
            let gateways = reporter.gateway_patches();
            let sets = reporter.listener_set_patches();
            let routes = reporter.route_patches();
            let policies = reporter.policy_patches();
            [classes, gateways, sets, routes, policies].concat()
        })
    }

    /// Calls `report` with all that statuses are computed from.
    pub(crate) fn report<T>(
        &self,
        context: StatusContext<'_>,
        report: impl FnOnce(Reporter<'_>) -> T,
    ) -> T {
        let StatusContext {
            grants,
            feedback,
            now,
        } = context;
        let listeners = self.view.listeners.iter();
        let programming = listeners.map(|listener| self.programming(listener, grants, feedback));
        let programming: Vec<_> = programming.collect();
        report(Reporter {
            evaluation: self,
            grants,
            now,
            programming: &programming,
        })
    }

    /// Which addresses and ports a listener has. None, if it or its object is not accepted.
    fn programming(
        &self,
        listener: &GatewayListener<'_>,
        grants: &Grants,
        feedback: &Feedback,
    ) -> Programming {
        let is_accepted = !listener.is_rejected() && self.owner_is_accepted(listener);
        let grant = self.grant(listener.gateway, grants);
        let grant = grant.filter(|_| is_accepted);
        grant.map_or_else(Programming::default, |grant| {
            Programming::of(listener, grant, feedback)
        })
    }
}

impl<'a> Reporter<'a> {
    /// The time and generation of reports about an object.
    fn at(self, metadata: &Metadata) -> ReportTime<'a> {
        ReportTime {
            generation: metadata.generation,
            now: self.now,
        }
    }
}
