//! The writes that make the status of objects what it should be.

use std::collections::BTreeMap;

use serde_json::json;

use super::decide::{Decision, LastValid};
use super::digest::digest;
use super::events;
use super::requests::{Target, patch_status};
use super::stores::{SERVICES, Stores};
use super::time::now;
use super::write_queue::{Write, WriteQueue};
use super::writer::Writes;
use crate::config::Config;
use crate::gateway::{Evaluation, StatusContext};
use crate::names::FINALIZER;
use crate::objects::Service;
use crate::services::{Feedback, PlannedService, check_ours, leftover, report};

/// Wants the writes that are missing, and no others.
pub(super) fn want_reports(
    writes: &Writes,
    stores: &Stores,
    config: &Config,
    decision: &Decision,
    last_valid: &LastValid,
    feedback: &Feedback,
) {
    let time = now();
    writes.change(|queue| {
        queue.retain(|key| exists(key, stores));
        for planned in &decision.services {
            let key = planned.service.metadata.key();
            match missing(planned, config, decision, feedback, &time) {
                Some(write) => queue.want(&key, write),
                None => queue.drop_key(&key),
            }
        }
        for (key, service) in &stores.services {
            if check_ours(service, config).is_err() {
                want_cleanup(queue, key, service, config);
            }
        }
        let controller = &config.gateway_controller;
        let policies = last_valid.policies();
        let evaluation = Evaluation::new(
            &stores.gateway,
            &stores.services,
            policies,
            controller,
            config.max_ports,
        );
        let context = StatusContext {
            grants: &decision.grants,
            feedback,
            now: &time,
        };
        want_statuses(queue, &evaluation, context);
    });
}

/// Whether the object of a key exists. Services are known by `namespace/name`, objects of the Gateway API have their plural in front.
fn exists(key: &str, stores: &Stores) -> bool {
    match key.split_once(' ') {
        None => stores.services.contains_key(key),
        Some((plural, key)) => stores.gateway.contains(plural, key),
    }
}

/// Wants the statuses of the Gateway API that differ.
fn want_statuses(queue: &mut WriteQueue, evaluation: &Evaluation<'_>, context: StatusContext<'_>) {
    let patches = evaluation.patches(context);
    let wanted = patches.into_iter().map(|patch| {
        let write = Write {
            kind: patch.plural,
            request: patch_status(&patch),
            digest: digest(&patch.body["status"]),
            events: events::about_status(&patch),
        };
        (format!("{} {}", patch.plural, patch.key()), write)
    });
    let mut wanted: BTreeMap<String, Write> = wanted.collect();
    queue.drop_keys(|key| key.contains(' ') && !wanted.contains_key(key));
    while let Some((key, write)) = wanted.pop_first() {
        queue.want(&key, write);
    }
}

/// The next write of a Service that is served: the finalizer, then the status.
fn missing(
    planned: &PlannedService,
    config: &Config,
    decision: &Decision,
    feedback: &Feedback,
    time: &str,
) -> Option<Write> {
    let service = &planned.service;
    let target = Target::service(&service.metadata);
    if !has_finalizer(service) {
        return Some(Write {
            kind: SERVICES,
            request: target.add_finalizer(),
            digest: digest(&json!("add the finalizer")),
            events: Vec::new(),
        });
    }
    let grant = decision.grants.get(&planned.request.owner)?;
    let report = report(planned, grant, feedback, config.max_ports, time);
    (!report.is_written(service)).then(|| Write {
        kind: SERVICES,
        request: target.report(&report, config.takes_over),
        digest: digest(&json!([report.ingress, report.conditions])),
        events: events::about(service, &report.conditions),
    })
}

/// Removes what is left at a Service that is no longer served: the status, then the finalizer. It may have been deleted, or made
/// a Service of another type.
fn want_cleanup(queue: &mut WriteQueue, key: &str, service: &Service, config: &Config) {
    let target = Target::service(&service.metadata);
    let (request, what) = match (leftover(service, config), has_finalizer(service)) {
        (false, _) => return queue.drop_key(key),
        (true, true) => (target.remove_finalizer(), "remove the finalizer"),
        (true, false) => (target.clear_status(), "clear the status"),
    };
    let write = Write {
        kind: SERVICES,
        request,
        digest: digest(&json!(what)),
        events: Vec::new(),
    };
    queue.want(key, write);
}

fn has_finalizer(service: &Service) -> bool {
    service
        .metadata
        .finalizers
        .iter()
        .any(|name| name == FINALIZER)
}
