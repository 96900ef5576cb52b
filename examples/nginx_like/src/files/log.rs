//! Opens log files.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a log to append to it, and makes it if there is none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
