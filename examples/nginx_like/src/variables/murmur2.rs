//! MurmurHash2 of 32 bits with the seed 0, which nginx splits clients by.
//!
//! Source: Austin Appleby's MurmurHash2. The crates that have it are not maintained.

const M: u32 = 0x5bd1_e995;

pub(super) fn murmur2(bytes: &[u8]) -> u32 {
    // nginx cuts the length to 32 bits as well.
    let mut hash = bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let rest = rest.iter().rev();
        hash ^= rest.fold(0, |all, byte| all << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}
