//! Backends from DNS.
//!
//! - `source`: [`Dns`](source::Dns), which looks a name up again when its records' time to live is over;
//! - `resolver`: which servers and files answer;
//! - `lookup`: from one name to addresses or services, over both families and all search domains;
//! - `config`: `resolv.conf`, the hosts file, and the search rules that they give;
//! - `server`: one question to one name server, aliases included;
//! - `name`: what a configured name may be.

mod config;
mod lookup;
mod name;
pub(crate) mod resolver;
mod server;
pub(crate) mod source;
