//! The language of nginx's configuration files. It imports no directive.
//!
//! From the bytes up: [`lexer`] splits a file into statements, [`glob`] and [`include`] find and open the files,
//! [`reader`] passes each statement to the [`directive`] of its name. [`units`] and [`address`] read single values.

pub(crate) mod address;
pub(crate) mod directive;
pub(crate) mod error;
pub(crate) mod glob;
pub(crate) mod include;
pub(crate) mod lexer;
pub(crate) mod lines;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod reader;
pub(crate) mod recording;
pub(crate) mod span;
pub(crate) mod statement;
pub(crate) mod statement_text;
pub(crate) mod units;
