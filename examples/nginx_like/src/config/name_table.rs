//! The virtual servers of one address.

use crate::variables::regex::Regex;

/// Which server the names that clients ask for choose among the servers of one address, by their indices in
/// [`Stream::servers`](super::stream::Stream::servers).
#[derive(Clone, Debug, Default)]
pub(crate) struct NameTable {
    /// Exact names and wildcards, each of which decides other names than those before.
    pub(crate) patterns: Vec<(String, usize)>,
    /// The first that matches counts, if no pattern does.
    pub(crate) regexes: Vec<(Regex, usize)>,
    /// The server of the connections that ask for no other.
    pub(crate) default_server: usize,
    /// The other servers of the address.
    pub(crate) servers: Vec<usize>,
}
