//! The position of a backend in the load index, for its leases.

use super::backend_state::BackendState;
use crate::load_index::index::LoadIndex;
use crate::load_index::position::{Entry, Position};
use crate::sync::Arc;

/// The load index of the backends of a tier.
pub(crate) type TierIndex = LoadIndex<BackendState>;
/// The same, as its tier and the leases that update it share it.
pub(crate) type SharedIndex = Arc<TierIndex>;
/// A backend's position in it.
pub(crate) type IndexPosition = Position<BackendState>;

impl BackendState {
    /// Stores where its leases update the load index from now on.
    pub(crate) fn set_position(&self, position: IndexPosition) {
        self.position.store(Some(Arc::new(position)));
        self.standing().set_indexed(true);
    }

    /// Removes its position, unless that is in one of `indexes`.
    pub(crate) fn keep_position_in<'a>(&self, mut indexes: impl Iterator<Item = &'a SharedIndex>) {
        if !self.standing().is_indexed() {
            return;
        }
        let position = self.position.load();
        let stays = |position: &IndexPosition| indexes.any(|index| position.is_in(index));
        if !position.as_deref().is_some_and(stays) {
            self.standing().set_indexed(false);
            self.position.store(None);
        }
    }

    /// Its entry in the load index, if it is in one.
    pub(crate) fn index_entry(&self) -> Option<Entry<Self>> {
        if !self.standing().is_indexed() {
            return None;
        }
        let mut position = self.position.load();
        loop {
            let entry = position.as_deref()?.entry();
            if entry.is_some() {
                return entry;
            }
            // The index was freed with an old membership. An update may have stored another position since.
            let current = self.position.load();
            if Arc::ptr_eq(position.as_ref()?, current.as_ref()?) {
                return None;
            }
            position = current;
        }
    }

    /// Updates the load after a lease has begun or ended: in `index`, or in another one where its position is there.
    pub(crate) fn update_index(&self, index: Option<&SharedIndex>) {
        let position = self.position.load();
        match (position.as_deref(), index) {
            // Takes no reference to an index that the caller holds: all threads would write to its count.
            (Some(position), Some(index)) if position.is_in(index) => position.update(index),
            _ => self.index_entry().iter().for_each(Entry::update),
        }
    }
}
