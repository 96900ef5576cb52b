//! Backends from a JSON or YAML file.

mod document;
pub(crate) mod format;
pub(crate) mod source;
