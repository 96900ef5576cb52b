//! Files that are changed outside of a lock, and an end of the process that waits for such changes.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Files behind a lock that is not held while one hangs: a change takes its file out and puts it back.
#[derive(Debug, Default)]
pub(crate) struct ChangingFiles<T> {
    content: Mutex<LockedFiles<T>>,
    /// Notified when a change ends.
    changed: Condvar,
}

/// The files that no change has taken out.
#[derive(Debug, Default)]
pub(crate) struct LockedFiles<T> {
    files: T,
    /// How many changes are under way. One that hangs stays.
    changes: usize,
}

impl<T> ChangingFiles<T> {
    /// No code that can panic or block runs under the lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LockedFiles<T>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a change of a file.
    pub(crate) fn begin_change(self: &Arc<Self>) -> FileChange<T> {
        self.lock().changes += 1;
        FileChange(Arc::clone(self))
    }

    /// Locks the files once no change is under way, at the end of the process: a change would write or rename a file that the end
    /// should remove. Waits no longer than `limit`, because a file may hang.
    pub(crate) fn lock_unchanging(&self, limit: Duration) -> MutexGuard<'_, LockedFiles<T>> {
        let is_changing = |content: &mut LockedFiles<T>| content.changes > 0;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), limit, is_changing);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl<T> Deref for LockedFiles<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.files
    }
}

impl<T> DerefMut for LockedFiles<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.files
    }
}

/// A change of a file, until this is dropped.
#[derive(Debug)]
pub(crate) struct FileChange<T>(Arc<ChangingFiles<T>>);

impl<T> Drop for FileChange<T> {
    fn drop(&mut self) {
        self.0.lock().changes -= 1;
        self.0.changed.notify_all();
    }
}
