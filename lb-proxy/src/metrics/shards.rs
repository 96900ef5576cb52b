//! Counters of which each worker has its own, so that workers do not contend for a cache line.

/// One part for each worker.
#[derive(Debug)]
pub(super) struct Shards<T>(Box<[Aligned<T>]>);

/// On cache lines of its own. Two lines, because some processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> Shards<T> {
    pub(super) fn new(workers: usize, part: impl Fn() -> T) -> Self {
        Self((0..workers.max(1)).map(|_| Aligned(part())).collect())
    }

    /// The part of a worker. A worker of another server, with which an upstream is shared, uses the part of one of these.
    pub(super) fn of(&self, worker: usize) -> &T {
        &self.0[worker % self.0.len()].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|aligned| &aligned.0)
    }
}
