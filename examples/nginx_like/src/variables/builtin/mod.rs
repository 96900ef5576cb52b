//! Built-in variables: a table for each module of nginx.

mod core;
mod find;
mod lb;
mod limit_conn;
mod proxy_protocol;
mod realip;
mod ssl;
mod ssl_preread;
mod times;
mod unsupported;
mod upstream;
mod variable;

pub(crate) use find::{find, named, names};
pub(crate) use variable::{Builtin, Read, Source};
