//! Backends from a JSON or YAML file.

mod document;
pub(crate) mod format;
mod lookup;
pub(crate) mod source;
