//! What a policy asks the load index for.

/// Which loads are kept ready for a policy. Where some are, each lease updates them when it begins and when it ends. That
/// costs some ten nanoseconds, and all threads write to the same memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tracking {
    /// The least loaded of all backends.
    Least,
    /// None: a pick reads the load of each backend that it asks about.
    #[default]
    Nothing,
    /// The connections in flight of the tier, and the weight of its healthy backends.
    Total,
}
