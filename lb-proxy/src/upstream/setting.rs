//! A setting of an upstream that sessions read and a reload changes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// A value that may change. Reading the default takes no lock.
#[derive(Debug, Default)]
pub(super) struct Setting<T> {
    /// Whether the value is not the default.
    differs: AtomicBool,
    value: RwLock<T>,
}

impl<T: Clone + Default + PartialEq> Setting<T> {
    pub(super) fn new(value: T) -> Self {
        let setting = Self::default();
        setting.set(value);
        setting
    }

    /// Sessions that read it from now on get `value`.
    pub(super) fn set(&self, value: T) {
        let differs = value != T::default();
        // No code that can panic runs under the lock.
        *self.value.write().unwrap_or_else(PoisonError::into_inner) = value;
        self.differs.store(differs, Relaxed);
    }

    pub(super) fn get(&self) -> T {
        match self.differs.load(Relaxed) {
            true => {
                let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
                value.clone()
            }
            false => T::default(),
        }
    }
}
