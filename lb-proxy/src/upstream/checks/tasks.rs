//! The tasks that run the checks of an upstream.

use std::sync::Arc;

use lb_core::Health;
use tokio::task::JoinHandle;

use super::list::{DescribedCheck, RunningCheck};
use super::schedule::Scheduler;
use crate::upstream::Upstream;

/// The tasks that run the checks of an upstream. Dropping it ends them, and the probes under way with them.
#[derive(Debug, Default)]
pub(crate) struct CheckTasks(Vec<CheckTask>);

#[derive(Debug)]
struct CheckTask {
    check: Arc<RunningCheck>,
    task: JoinHandle<()>,
}

impl Drop for CheckTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CheckTasks {
    /// Runs the checks in `described` and no other. A check that is described as before goes on undisturbed.
    pub(crate) fn set(&mut self, upstream: &Upstream, described: &[DescribedCheck]) {
        let list = upstream.check_list();
        let before = list.running();
        list.replace(described);
        let running = list.running();
        let mut old = std::mem::take(&mut self.0);
        for check in &running {
            let same = old.iter().position(|old| Arc::ptr_eq(&old.check, check));
            self.0.push(match same {
                Some(i) => old.swap_remove(i),
                None => CheckTask {
                    check: Arc::clone(check),
                    task: tokio::spawn(Scheduler::run(upstream.clone(), Arc::clone(check))),
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
            let origin = gone.described.check.override_origin();
            let is_of =
                |check: &Arc<RunningCheck>| check.described.check.override_origin() == origin;
            if !running.iter().any(is_of) {
                upstream.end_reports(origin, &gone.described.name);
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
