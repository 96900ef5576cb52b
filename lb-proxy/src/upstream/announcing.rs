//! Whether an upstream's backends are told by a header who the client is.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use super::{read, write};
use crate::proxy_protocol::SendProxy;

/// The PROXY protocol header that backends get.
#[derive(Clone, Debug, Default)]
pub(crate) enum Header {
    /// What the listener sends.
    #[default]
    OfListener,
    /// This one, or none.
    Own(Option<Arc<SendProxy>>),
}

/// A [`Header`] that may change.
#[derive(Debug, Default)]
pub(super) struct Announcing {
    /// Whether it is not the listener's, to be read without the lock.
    own: AtomicBool,
    header: RwLock<Header>,
}

impl Announcing {
    pub(super) fn new(header: Header) -> Self {
        let announcing = Self::default();
        announcing.set(header);
        announcing
    }

    /// Connections from now on have another one.
    pub(super) fn set(&self, header: Header) {
        let own = matches!(header, Header::Own(_));
        *write(&self.header) = header;
        self.own.store(own, Relaxed);
    }

    pub(super) fn header(&self) -> Header {
        match self.own.load(Relaxed) {
            true => read(&self.header).clone(),
            false => Header::OfListener,
        }
    }
}
