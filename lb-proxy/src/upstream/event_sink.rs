//! The subscribers of an upstream.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast::{Receiver, Sender};

use super::events::{CAPACITY, UpstreamEvent};

/// The subscribers of an upstream.
#[derive(Debug, Default)]
pub(super) struct EventSink(OnceLock<Box<Mutex<Subscribers>>>);

#[derive(Debug, Default)]
pub(super) struct Subscribers {
    /// One, and those of the upstreams that were adopted.
    senders: Vec<Sender<UpstreamEvent>>,
    /// The backends that subscribers know as ejected.
    pub(super) ejected: HashSet<SocketAddr>,
}

impl EventSink {
    pub(super) fn subscribe(&self) -> Receiver<UpstreamEvent> {
        let mut subscribers = lock(self.0.get_or_init(Box::default));
        subscribers.drop_unused();
        match subscribers.senders.first() {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = tokio::sync::broadcast::channel(CAPACITY);
                subscribers.senders.push(sender);
                receiver
            }
        }
    }

    /// Takes over the subscribers of `other`.
    pub(super) fn adopt(&self, other: &Self) {
        let Some(from) = other.0.get() else {
            return;
        };
        let senders = std::mem::take(&mut lock(from).senders);
        if !senders.is_empty() {
            lock(self.0.get_or_init(Box::default))
                .senders
                .extend(senders);
        }
    }

    /// The subscribers, if there are any. Without a subscriber ever before it costs a load.
    pub(super) fn live(&self) -> Option<MutexGuard<'_, Subscribers>> {
        let mut subscribers = lock(self.0.get()?);
        subscribers.drop_unused();
        (!subscribers.senders.is_empty()).then_some(subscribers)
    }
}

impl Subscribers {
    fn drop_unused(&mut self) {
        self.senders.retain(|sender| sender.receiver_count() > 0);
        if self.senders.is_empty() {
            self.ejected.clear();
        }
    }

    pub(super) fn send(&self, event: &UpstreamEvent) {
        for sender in &self.senders {
            // Err: the last receiver was dropped just now.
            let _ = sender.send(event.clone());
        }
    }
}

// No code that can panic runs under the lock.
fn lock(subscribers: &Mutex<Subscribers>) -> MutexGuard<'_, Subscribers> {
    subscribers.lock().unwrap_or_else(PoisonError::into_inner)
}
