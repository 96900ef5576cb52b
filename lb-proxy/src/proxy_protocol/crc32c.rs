//! CRC32C (Castagnoli, RFC 4960 appendix B), byte by byte.
//!
//! Crates that use the processor's CRC instructions exist. A header has some hundred bytes and rarely a checksum, so a
//! table is enough.

/// The checksum of the concatenated parts.
pub(super) fn crc32c<const N: usize>(parts: [&[u8]; N]) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |crc, &byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE[usize::from(low ^ byte)]
    })
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            // The polynomial 0x1EDC6F41, its bits reversed.
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
    #[test]
    fn the_published_check_values_match() {
        assert_eq!(crc32c([b"1234", b"56789"]), 0xe306_9283);
        assert_eq!(crc32c([&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32]]), 0x62a8_ab43);
        let ascending: [u8; 32] = std::array::from_fn(|index| index as u8);
        assert_eq!(crc32c([&ascending]), 0x46dd_794e);
        assert_eq!(crc32c([]), 0);
    }
}
