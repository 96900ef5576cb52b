//! The running listeners of a server, and what a reload changes of them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_core::Endpoint;
use tracing::warn;

use super::context::ServerContext;
use super::desired_state::DesiredState;
use super::diff::{Diff, DiffStep, diff};
use super::pending_listener::PendingListener;
use super::report::Changes;
use crate::error::BindError;
use crate::listener::address_guard::close_port;
use crate::listener::covered::{CoveredListeners, wildcard_of};
use crate::listener::inheritable::InheritableSockets;
use crate::listener::running::{ClosingListener, RunningListener};
use crate::listener::sockets::ListenerSockets;
use crate::state::listener::ListenerState;
use crate::state::proxy::ProxyState;
use crate::state::shutdown::ShutdownSignals;
use crate::state::worker::Worker;

/// The running listeners of a server, in the order of their description.
#[derive(Debug, Default)]
pub(crate) struct ListenerSet(Vec<RunningListener>);

impl ListenerSet {
    /// Takes over the open sockets of `pending`, without accept loops.
    pub(crate) fn new(
        pending: Vec<PendingListener>,
        proxy: &Arc<ProxyState>,
        signals: &ShutdownSignals,
    ) -> Self {
        let open = pending.iter().filter_map(|pending| pending.open_port(None));
        let open_ports = open.collect();
        let running = pending.into_iter().filter_map(|pending| {
            let sockets = pending.sockets?;
            Some(RunningListener::new(
                pending.listener,
                sockets,
                proxy,
                signals,
            ))
        });
        let set = Self(running.collect());
        set.close_ports(&open_ports);
        set
    }

    /// The addresses listened on.
    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.0.iter().map(RunningListener::addr).collect()
    }

    /// The states of the listeners.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Arc<ListenerState>> {
        self.0.iter().map(RunningListener::state)
    }

    /// How many descriptors the sockets take.
    pub(crate) fn descriptors(&self) -> u64 {
        let listeners = self.0.iter();
        listeners
            .map(|listener| listener.sockets.descriptors())
            .sum()
    }

    /// Spawns the accept loops.
    pub(crate) fn accept(&mut self, workers: &[Arc<Worker>]) {
        self.0.iter().for_each(RunningListener::log);
        self.settle();
        self.spawn_accept_loops(workers);
    }

    /// Applies the descriptions to sockets that another process opened.
    fn settle(&mut self) {
        let settled = self.0.iter_mut().filter_map(|listener| {
            let port = listener.sockets.bound.port();
            listener.settle().then_some(port).flatten()
        });
        let ports = settled.collect();
        self.close_ports(&ports);
    }

    /// Ends the accept loops, and keeps the sockets open.
    pub(crate) fn pause(&mut self) {
        self.0.iter_mut().for_each(RunningListener::pause);
    }

    /// Spawns the accept loops again after a [`pause`](Self::pause).
    pub(crate) fn resume(&mut self, workers: &[Arc<Worker>]) {
        self.spawn_accept_loops(workers);
    }

    /// Duplicates of the sockets of all listeners.
    pub(crate) fn duplicate(&self) -> io::Result<Vec<InheritableSockets>> {
        let duplicated = self.0.iter().map(RunningListener::duplicate);
        duplicated.filter_map(Result::transpose).collect()
    }

    /// Sets whether the files of unix sockets are left when they are closed.
    pub(crate) fn keep_files(&mut self, keep: bool) {
        for listener in &mut self.0 {
            listener.sockets.keep_file(keep);
        }
    }

    /// Spawns the accept loops of listeners that have none.
    fn spawn_accept_loops(&mut self, workers: &[Arc<Worker>]) {
        let (mut bound, unbound): (Vec<_>, Vec<_>) = self
            .0
            .iter_mut()
            .partition(|listener| !listener.sockets.acceptors.is_empty());
        let mut covered: Vec<_> = bound.iter().map(|_| CoveredListeners::default()).collect();
        for listener in unbound {
            let configs = bound.iter().map(|listener| &listener.sockets.bound);
            match wildcard_of(listener.addr(), configs.enumerate()) {
                Some(wildcard) => covered[wildcard].insert(listener.state()),
                // The description was checked, but a socket of the embedder may be for IPv6 only.
                None => {
                    warn!(listener = %listener.endpoint(), "Listener without a socket, and none covers it")
                }
            }
        }
        for (listener, covered) in bound.iter_mut().zip(covered) {
            if !listener.accepts() {
                listener.spawn_accept_loops(workers, &Arc::new(covered));
            }
        }
    }

    /// Whether each listener has its own sockets, so that no accept loop serves more than one.
    fn has_sockets_each(&self, pending: &[PendingListener]) -> bool {
        let running = self.0.iter();
        let mut running = running.map(|listener| !listener.sockets.acceptors.is_empty());
        let mut pending = pending.iter().map(|pending| pending.listener.has_socket());
        running.all(|has| has) && pending.all(|has| has)
    }

    /// Closes all listeners. Each closes its sockets when its last accept loop has ended.
    pub(crate) fn close(&mut self) {
        for listener in self.0.drain(..) {
            listener.close();
        }
    }

    /// Compares the running listeners with those of `desired`. A listener is known by the address of its description.
    pub(crate) fn diff(&self, desired: &DesiredState) -> Diff {
        let running: Vec<_> = self.0.iter().map(|old| old.names().to_vec()).collect();
        let pending = &desired.listeners;
        let described: Vec<_> = pending
            .iter()
            .map(|new| vec![new.listener.addr()])
            .collect();
        diff(&running, &described, |i, j| {
            pending[j].listener.can_keep(&self.0[i].sockets)
        })
    }

    /// Opens the sockets that are missing. Returns the ports where running sockets had to be relaxed for that. If it fails,
    /// it may be called again.
    pub(crate) fn open(
        &self,
        desired: &mut DesiredState,
        diff: &Diff,
        workers: &[Arc<Worker>],
    ) -> Result<BTreeSet<u16>, BindError> {
        let changed = diff.steps.iter().filter_map(|step| match step {
            DiffStep::Change(i) => Some(*i),
            DiffStep::Add | DiffStep::Keep(_) => None,
        });
        let leaving = changed.chain(diff.removed.iter().copied());
        let leaving: HashSet<SocketAddr> = leaving.map(|i| self.0[i].addr()).collect();
        let mut by_port: HashMap<u16, Vec<&RunningListener>> = HashMap::new();
        for old in &self.0 {
            by_port.entry(old.addr().port()).or_default().push(old);
        }
        let mut beside = BTreeSet::new();
        for (number, &step) in diff.steps.iter().enumerate() {
            if let DiffStep::Keep(_) = step {
                continue;
            }
            let old = step.running().map(|i| &self.0[i]);
            let port = old.map_or(0, |old| old.addr().port());
            let config = desired.listeners[number].bind_config(port);
            let mut in_the_way = None;
            let is_beside = desired.relax_beside(number, port);
            if desired.listeners[number].is_missing() {
                for old in by_port.get(&config.addr.port()).into_iter().flatten() {
                    // Two listeners that stay cannot have one address.
                    let is_leaving = leaving.contains(&old.addr());
                    if !old.sockets.overlaps(&config) || old.addr() == config.addr && !is_leaving {
                        continue;
                    }
                    in_the_way = Some(old.addr());
                    beside.insert(old.addr().port());
                    // If this fails, opening fails as well.
                    let _ = old.sockets.relax();
                }
            }
            let pending = &mut desired.listeners[number];
            if let Err(error) = pending.open(workers, port, is_beside, in_the_way) {
                // The overlapping listener keeps serving. This closes the new sockets.
                desired.close_those_beside();
                self.close_ports(&beside);
                return Err(error);
            }
        }
        Ok(beside)
    }

    /// Replaces the running listeners with those of `pending`, whose sockets are open, by the steps of `diff`. Returns the
    /// changes, and the listeners that are about to close their sockets. One whose description is the same goes on accepting.
    pub(crate) fn replace(
        &mut self,
        pending: Vec<PendingListener>,
        diff: &Diff,
        mut open_ports: BTreeSet<u16>,
        proxy: &Arc<ProxyState>,
        context: &ServerContext,
        accepting: bool,
    ) -> (Changes<Endpoint>, Vec<ClosingListener>) {
        let has_sockets_each = self.has_sockets_each(&pending);
        let mut changes = Changes::default();
        let mut old: Vec<Option<RunningListener>> = self.0.drain(..).map(Some).collect();
        for (pending, &step) in pending.into_iter().zip(&diff.steps) {
            let before = match step {
                DiffStep::Keep(i) => old[i].take(),
                DiffStep::Add | DiffStep::Change(_) => None,
            };
            open_ports.extend(pending.open_port(before.as_ref().map(|old| &old.sockets)));
            let running = match (before, pending.sockets) {
                (Some(before), _)
                    if has_sockets_each && before.is_same_as(&pending.listener, proxy) =>
                {
                    before
                }
                (Some(before), _) => before.with_description(pending.listener, proxy),
                (None, Some(sockets)) => {
                    let signals = &context.signals;
                    let new = RunningListener::new(pending.listener, sockets, proxy, signals);
                    new.log();
                    new
                }
                (None, None) => continue,
            };
            changes.note(step, running.endpoint());
            self.0.push(running);
        }
        if accepting {
            self.spawn_accept_loops(&context.workers);
        }
        let removed = diff.removed.iter().filter_map(|&i| old[i].as_ref());
        changes.removed = removed
            .inspect(|removed| removed.remove())
            .map(RunningListener::endpoint)
            .collect();
        let closing: Vec<_> = old
            .into_iter()
            .flatten()
            .map(RunningListener::close)
            .collect();
        self.close_ports(&open_ports);
        (changes, closing)
    }

    /// Closes `ports` to other programs, except where the listeners share them.
    fn close_ports(&self, ports: &BTreeSet<u16>) {
        let mut all: BTreeMap<u16, Vec<&ListenerSockets>> = BTreeMap::new();
        for sockets in self.0.iter().map(|listener| &listener.sockets) {
            if let Some(port) = sockets.bound.port()
                && ports.contains(&port)
            {
                all.entry(port).or_default().push(sockets);
            }
        }
        for (port, sockets) in all {
            if let Err(error) = close_port(port, &sockets) {
                warn!(port, %error, "Port may be shared with other programs of the same user");
            }
        }
    }
}
