//! The tasks that run the checks of an upstream.

use std::sync::Arc;

use lb_core::Health;

use super::list::{DescribedCheck, RunningCheck};
use super::probe_thread::ProbeTask;
use super::resources::ProbeResources;
use super::schedule::Scheduler;
use crate::upstream::Upstream;

/// The tasks that run the checks of an upstream. Dropping it ends them, and the probes under way with them.
#[derive(Debug)]
pub(crate) struct CheckTasks {
    tasks: Vec<CheckTask>,
    resources: ProbeResources,
}

#[derive(Debug)]
struct CheckTask {
    check: Arc<RunningCheck>,
    _task: ProbeTask,
}

impl CheckTasks {
    /// No tasks. They will use `resources`.
    pub(crate) const fn new(resources: ProbeResources) -> Self {
        let tasks = Vec::new();
        Self { tasks, resources }
    }

    /// Runs the checks in `described` and no other. A check that is described as before goes on undisturbed.
    pub(crate) fn set(&mut self, upstream: &Upstream, described: &[DescribedCheck]) {
        let list = upstream.check_list();
        let before = list.running();
        list.replace(described);
        let running = list.running();
        let mut old = std::mem::take(&mut self.tasks);
        for check in &running {
            let same = old.iter().position(|old| Arc::ptr_eq(&old.check, check));
            self.tasks.push(match same {
                Some(i) => old.swap_remove(i),
                None => CheckTask {
                    check: Arc::clone(check),
                    _task: self.resources.runtime.spawn(Scheduler::run(
                        upstream.clone(),
                        Arc::clone(check),
                        self.resources.clone(),
                    )),
                },
            });
        }
        drop(old);
        let is_gone =
            |check: &&Arc<RunningCheck>| !running.iter().any(|new| Arc::ptr_eq(new, check));
        if before.iter().any(|check| is_gone(&check)) {
            withdraw(upstream);
        }
        for gone in before.iter().filter(is_gone) {
            if !list.runs(&gone.described.identity) {
                upstream.end_reports(&gone.described);
            }
        }
    }
}

/// Gives every backend the health that the present checks give it: what a check found that no longer exists does not count.
fn withdraw(upstream: &Upstream) {
    let set = upstream.backends();
    for status in set.status(upstream.now()) {
        let addr = status.backend.addr;
        let health = upstream.check_list().health(addr);
        if status.health != Health::Healthy && health == Some(Health::Healthy) {
            upstream.set_health(addr, Health::Healthy);
        }
    }
}
