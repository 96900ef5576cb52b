//! Counters by name, which outlive what they count until they are reported, in bounded memory.

use std::collections::BTreeMap;
use std::sync::Arc;

/// How many counters are kept of what was removed, beside as many as are in use.
const KEPT: usize = 256;

/// Counters by name. Whatever they count holds a reference to them.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    entries: BTreeMap<K, Arc<V>>,
    /// The number of entries at which unused ones are forgotten.
    most: usize,
}

impl<K: Ord, V> Kept<K, V> {
    /// The value of `key`, or else a new one. Forgets what is not in use if there is too much of it. Amortized O(log n).
    pub(super) fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> Arc<V>) -> Arc<V> {
        if self.entries.len() >= self.most {
            self.entries.retain(|_, value| Arc::strong_count(value) > 1);
            self.most = 2 * self.entries.len() + KEPT;
        }
        Arc::clone(self.entries.entry(key).or_insert_with(new))
    }

    /// Keeps the entries for which `keep` is true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &Arc<V>) -> bool) {
        self.entries.retain(|key, value| keep(key, value));
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            most: KEPT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_the_rest_has_a_bound() {
        let mut kept = Kept::default();
        let used: Vec<_> = (0..1000)
            .map(|n| kept.get_or_insert(n, || Arc::new(n)))
            .collect();
        for n in 1000..20_000 {
            kept.get_or_insert(n, || Arc::new(n));
            assert!(kept.entries.len() <= 2 * used.len() + KEPT, "{n}");
        }
        for (n, value) in used.iter().enumerate() {
            assert!(Arc::ptr_eq(
                value,
                &kept.get_or_insert(n, || unreachable!())
            ));
        }
    }
}
