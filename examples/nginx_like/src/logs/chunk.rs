//! Lines that are written at once.

use std::path::Path;

/// Lines that are written at once.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// The file they go to, if the log has files by name.
    pub(super) path: Option<Box<Path>>,
}
