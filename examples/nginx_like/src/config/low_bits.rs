//! The warning about bits behind the prefix of a network.

use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::geo::Cidr;

/// Warns, with nginx's words, if `text` is a network with bits behind its prefix.
pub(super) fn warn_low_bits(text: &str, statement: &Statement, reader: &mut Reader<'_>) {
    if let Ok(network) = text.parse() {
        warn_low_bits_of(network, text, statement, reader);
    }
}

/// The same for a network that was read from `text`.
pub(super) fn warn_low_bits_of(
    network: Cidr,
    text: &str,
    statement: &Statement,
    reader: &mut Reader<'_>,
) {
    if network.has_low_bits {
        let what = format!("low address bits of {text} are meaningless");
        reader.warn(statement, what);
    }
}
