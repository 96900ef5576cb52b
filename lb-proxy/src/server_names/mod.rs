//! A table from host names to anything, with wildcards.
//!
//! [`ServerNames`] is the table; its precedence is that of nginx. Nothing here does I/O.

mod error;
mod pattern;
mod table;

pub use error::ServerNameError;
pub use table::ServerNames;
