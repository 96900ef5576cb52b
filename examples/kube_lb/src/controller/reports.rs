//! The writes that make the status of objects what it should be.

use super::decide::Decision;
use super::events;
use super::requests::Target;
use super::stores::Stores;
use super::time::now;
use super::write_queue::{Write, WriteQueue};
use super::writer::Writes;
use crate::config::Config;
use crate::names::FINALIZER;
use crate::objects::Service;
use crate::services::{Feedback, PlannedService, check_ours, leftover, report};

/// Wants the writes that are missing, and no others.
pub(super) fn want_reports(
    writes: &Writes,
    stores: &Stores,
    config: &Config,
    decision: &Decision,
    feedback: &Feedback,
) {
    let time = now();
    writes.change(|queue| {
        queue.retain(|key| stores.services.contains_key(key));
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
    });
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
            request: target.add_finalizer(),
            events: Vec::new(),
        });
    }
    let grant = decision.grants.get(&planned.request.owner)?;
    let report = report(planned, grant, feedback, config.max_ports, time);
    (!report.is_written(service)).then(|| Write {
        request: target.report(&report, config.takes_over),
        events: events::about(service, &report.conditions),
    })
}

/// Removes what is left at a Service that is no longer served: the status, then the finalizer. It may have been deleted, or made
/// a Service of another type.
fn want_cleanup(queue: &mut WriteQueue, key: &str, service: &Service, config: &Config) {
    let target = Target::service(&service.metadata);
    let request = match (leftover(service, config), has_finalizer(service)) {
        (false, _) => return queue.drop_key(key),
        (true, true) => target.remove_finalizer(),
        (true, false) => target.clear_status(),
    };
    let events = Vec::new();
    queue.want(key, Write { request, events });
}

fn has_finalizer(service: &Service) -> bool {
    service
        .metadata
        .finalizers
        .iter()
        .any(|name| name == FINALIZER)
}
