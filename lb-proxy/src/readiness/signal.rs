//! The signal that readiness may have changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

/// Wakes the tasks that watch the readiness of one server. False alarms are allowed, missed changes are not.
#[derive(Debug)]
pub(crate) struct ReadinessSignal(watch::Sender<()>);

impl ReadinessSignal {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(())))
    }

    /// Called after each change that readiness depends on.
    pub(crate) fn changed(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// The servers whose readiness depends on one upstream.
#[derive(Debug, Default)]
pub(crate) struct ReadinessObservers {
    signals: Mutex<Vec<Weak<ReadinessSignal>>>,
}

impl ReadinessObservers {
    /// Adds the signal of a server, once.
    pub(crate) fn add(&self, signal: &Arc<ReadinessSignal>) {
        let signal = Arc::downgrade(signal);
        let mut signals = self.lock();
        signals.retain(|other| other.strong_count() > 0);
        if !signals.iter().any(|other| other.ptr_eq(&signal)) {
            signals.push(signal);
        }
    }

    /// The membership, the health or the description of the upstream has changed.
    pub(crate) fn changed(&self) {
        let signals = self.lock();
        signals
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|signal| signal.changed());
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<ReadinessSignal>>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_added_once() {
        let observers = ReadinessObservers::default();
        let signal = ReadinessSignal::new();
        observers.add(&signal);
        observers.add(&signal);
        assert_eq!(observers.lock().len(), 1);
        let mut seen = signal.subscribe();
        assert!(!seen.has_changed().unwrap());
        observers.changed();
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        assert!(!seen.has_changed().unwrap());
    }

    #[test]
    fn the_signal_of_a_server_that_is_gone_is_dropped() {
        let observers = ReadinessObservers::default();
        observers.add(&ReadinessSignal::new());
        let signal = ReadinessSignal::new();
        observers.add(&signal);
        assert_eq!(observers.lock().len(), 1);
        observers.changed();
    }
}
