//! The language of nginx's configuration files: words, statements, blocks, includes, values. No directive is known here.

pub(crate) mod address;
pub(crate) mod directive;
pub(crate) mod error;
pub(crate) mod glob;
pub(crate) mod include;
pub(crate) mod lexer;
pub(crate) mod reader;
pub(crate) mod recording;
pub(crate) mod units;
